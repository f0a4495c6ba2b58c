//! New URLs for those that have expired.

use std::sync::Arc;

use viewcache_protocol::{EntityKey, Profile, Selecting};

use super::Service;
use crate::catalogue::{Video, is_id, same_version, video_of};
use crate::journal::Shown;
use crate::live::Live;
use crate::metrics::Renewal;
use crate::origin::Asker;
use crate::resolver::{Resolved, Resolver};
use crate::store::StoreError;

impl Service {
    /// The resolver, if there is one, and what it needs to know of an entity.
    pub(super) fn resolver(&self, live: &Live) -> Option<(Arc<Resolver>, String, String)> {
        let resolver = self.resolver.as_ref()?;
        let state = live.state();
        let key = &state.record.key;
        let itag = key.part("itag").unwrap_or_default().to_owned();
        Some((Arc::clone(resolver), video_of(key), itag))
    }

    /// Asks for a new URL of an entity in the background; when there is one, whoever waits for it
    /// goes on.
    pub(super) fn renew(self: &Arc<Self>, live: &Arc<Live>) {
        let Some((resolver, video, itag)) = self.resolver(live) else {
            return;
        };
        let (service, live) = (Arc::clone(self), Arc::clone(live));
        tokio::spawn(async move {
            let resolved = resolver.resolve(&video, &itag).await;
            let result = match resolved {
                Ok(resolved) => service.renewed(&live, &video, resolved),
                Err(error) => {
                    tracing::warn!(entity = %live.id, %error, "no new URL");
                    Renewal::Failed
                }
            };
            service.metrics.resolved.inc(result);
        });
    }

    fn renewed(self: &Arc<Self>, live: &Arc<Live>, video: &str, resolved: Resolved) -> Renewal {
        let Ok((key, origin)) = self.named_request(&resolved.url) else {
            tracing::warn!(entity = %live.id, "the new URL is not cached");
            return Renewal::Useless;
        };
        if !same_bytes(&live.state().record.key, &key) {
            tracing::warn!(entity = %live.id, other = %Shown(&key), "the new URL is another entity's");
            return Renewal::Other;
        }
        if let Some(asker) = Asker::told(&origin, &Selecting::default()) {
            live.state().asker = Some(asker);
            tracing::info!(entity = %live.id, "a new URL is known");
            self.tend(live);
            self.wake_completions();
        }
        self.described(video, resolved);
        Renewal::Renewed
    }

    /// Asks for a URL of another quality of a video, and takes that into memory.
    pub(super) async fn ask_for(
        self: &Arc<Self>,
        like: &EntityKey,
        itag: &str,
    ) -> Option<Arc<Live>> {
        let resolver = Arc::clone(self.resolver.as_ref()?);
        let video = video_of(like);
        let count = |result| self.metrics.resolved.inc(result);
        let resolved = match resolver.resolve(&video, itag).await {
            Ok(resolved) => resolved,
            Err(error) => {
                tracing::warn!(video, itag, %error, "no URL of this quality");
                count(Renewal::Failed);
                return None;
            }
        };
        let Some((key, asker)) = self.quality_at(&resolved.url, like, itag) else {
            tracing::warn!(video, itag, "the URL is not that of this quality");
            count(Renewal::Other);
            return None;
        };
        let service = Arc::clone(self);
        let known = tokio::task::spawn_blocking(move || service.known_or_new(&key));
        let live = match known.await.ok()? {
            Ok(live) => live,
            Err(error) => {
                self.trouble("a quality could not be looked up", &error);
                return None;
            }
        };
        live.state().asker = Some(asker);
        tracing::info!(entity = %live.id, video, itag, "a URL of this quality is known");
        count(Renewal::Found);
        self.described(&video, resolved);
        Some(live)
    }

    /// The entity at a URL and how to ask for it, if it is this quality of the same video. The
    /// origin's own URLs do not name the video, those of viewers do.
    fn quality_at(&self, url: &str, like: &EntityKey, itag: &str) -> Option<(EntityKey, Asker)> {
        let (mut key, origin) = self.named_request(url).ok()?;
        if let Some(id) = like.part("v")
            && key.part("v").is_none()
            && key.profile() == Profile::Youtube
        {
            (key, _) = self.named_request(&format!("{url}&v={id}")).ok()?;
        }
        let alike = video_of(&key) == video_of(like) && same_version(&key, like);
        let asker = Asker::told(&origin, &Selecting::default())?;
        (alike && key.part("itag") == Some(itag)).then_some((key, asker))
    }

    /// Asks whose video it is that is seen for the first time, if the resolver is to tell.
    pub(super) fn ask_channel(self: &Arc<Self>, live: &Arc<Live>) {
        let asks = self
            .resolver(live)
            .filter(|(resolver, ..)| resolver.tells_channels());
        let Some((resolver, video, itag)) = asks else {
            return;
        };
        if live.state().channel.is_some() {
            return;
        }
        let (service, id) = (Arc::clone(self), live.id);
        tokio::spawn(async move {
            match resolver.resolve(&video, &itag).await {
                Ok(resolved) => service.described(&video, resolved),
                Err(error) => tracing::debug!(entity = %id, %error, "its channel is not known"),
            }
        });
    }

    fn described(self: &Arc<Self>, video: &str, resolved: Resolved) {
        if let Some(channel) = resolved.channel.filter(|channel| is_id(channel)) {
            let (service, video) = (Arc::clone(self), video.to_owned());
            self.writers.spawn(move || {
                if let Err(error) = service.describe(&video, channel, resolved.title) {
                    service.trouble("what is known of a video could not be stored", &error);
                }
            });
        }
    }

    /// The resolver has said what is not known of a video yet. Blocks.
    fn describe(
        self: &Arc<Self>,
        id: &str,
        channel: String,
        title: Option<String>,
    ) -> Result<(), StoreError> {
        let known = self.video(id)?.unwrap_or_default();
        if known.channel.is_some() {
            return Ok(());
        }
        let video = Video {
            channel: Some(channel),
            title: known.title.or(title),
            duration: known.duration,
        };
        self.set_video(id, Some(&video))
    }
}

/// Whether two keys name the same bytes. URLs of `/videoplayback` name the video only where a
/// front-end has added it; quality, modification time and length tell one from another.
fn same_bytes(one: &EntityKey, other: &EntityKey) -> bool {
    let alike = |name| one.part(name).is_some() && one.part(name) == other.part(name);
    let youtube = one.profile() == Profile::Youtube && other.profile() == Profile::Youtube;
    one.variant(0) == other.variant(0) || youtube && ["itag", "lmt", "clen"].into_iter().all(alike)
}
