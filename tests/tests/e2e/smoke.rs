//! What every way of running viewcache must do: a first view, a hit, a partial, and a sidecar that
//! dies. `make envoy-versions` runs this module on every Envoy that is supported.

use e2e::client::{HOST, Request};

use crate::world::{MIB, World};

/// A way to the cache: what viewers ask for, and what the origin is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    /// The viewers' Host.
    pub(crate) host: &'static str,
    /// What paths begin with here.
    pub(crate) viewed: &'static str,
    /// What they begin with at the origin.
    pub(crate) asked: &'static str,
    /// What they begin with in the keys of entities.
    pub(crate) keyed: &'static str,
}

impl Door {
    pub(crate) fn request(&self, name: &str) -> Request {
        Request::get(&format!("{}{name}", self.viewed)).host(self.host)
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.asked)
    }

    fn key(&self, name: &str) -> String {
        format!("://{}{}{name}", self.host, self.keyed)
    }

    /// All of it: first view, hit, partial, fail-over, and back.
    pub(crate) async fn works(&self, world: &mut World) {
        let length = 2 * MIB + 5;
        let film = world.serve(&self.path("film"), length);
        let request = self.request("film");
        let first = world.view(&request, film).await;
        first.expect(200, &["fwd=uri-miss", "stored"]);
        world.stored(&self.key("film"), &[(0, length)]).await;
        world.hit(&request, film).await.expect(200, &["hit"]);
        let seek = self.request("film").range("100000-1999999");
        world.hit(&seek, film).await.expect(206, &["hit"]);

        let clip = world.serve(&self.path("clip"), length);
        let begun = self.request("clip").range("0-999999");
        world.view(&begun, clip).await.expect(206, &["stored"]);
        world.stored(&self.key("clip"), &[(0, 1_000_000)]).await;
        let whole = world.view(&self.request("clip"), clip).await;
        whole.expect(200, &["fwd=partial", "stored"]);
        assert_eq!(world.origin.sent(&self.path("clip")), length);

        world.stack.sidecar(0).kill().await.unwrap();
        for _ in 0..5 {
            let view = world.view(&request, film).await;
            view.expect(200, &["fwd=bypass"]);
        }
        world.stack.start_sidecar(0).await.unwrap();
        world.becomes_hit(&request, film).await;
    }
}

#[tokio::test]
async fn the_shipped_configuration_works() {
    let mut world = World::with(|options| {
        options.filter_fields = Some(r#""decide_timeout": "5s""#.to_owned());
    })
    .await;
    let door = Door {
        host: HOST,
        viewed: "/",
        asked: "/",
        keyed: "/",
    };
    door.works(&mut world).await;
}
