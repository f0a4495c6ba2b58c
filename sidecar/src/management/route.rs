//! One route: a method, the template of a path, and who answers.

use std::pin::Pin;
use std::sync::Arc;

use hyper::Method;
use percent_encoding::percent_decode_str;
use warp::reply::Response;

use super::about::About;
use super::call::Call;
use super::problem::Problem;

/// What comes of a call.
pub(super) type Answer = Result<Response, Problem>;

type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A route.
#[derive(Clone)]
pub(super) struct Route {
    /// The method; HEAD goes with GET.
    pub(super) method: Method,
    /// The path, with its parameters in braces: `/v1/entities/{id}`.
    pub(super) template: &'static str,
    /// What it takes and answers.
    pub(super) about: About,
    handler: Arc<dyn Fn(Call) -> Answering + Send + Sync>,
}

impl Route {
    fn new<F>(method: Method, template: &'static str, handler: fn(Call) -> F, about: About) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self {
            method,
            template,
            about,
            handler: Arc::new(move |call| Box::pin(handler(call))),
        }
    }

    pub(super) fn get<F>(template: &'static str, handler: fn(Call) -> F, about: About) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(Method::GET, template, handler, about)
    }

    pub(super) fn put<F>(template: &'static str, handler: fn(Call) -> F, about: About) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(Method::PUT, template, handler, about)
    }

    pub(super) fn patch<F>(template: &'static str, handler: fn(Call) -> F, about: About) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(Method::PATCH, template, handler, about)
    }

    pub(super) fn post<F>(template: &'static str, handler: fn(Call) -> F, about: About) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(Method::POST, template, handler, about)
    }

    pub(super) fn delete<F>(template: &'static str, handler: fn(Call) -> F, about: About) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(Method::DELETE, template, handler, about)
    }

    pub(super) async fn answer(&self, call: Call) -> Answer {
        (self.handler)(call).await
    }
}

/// The route of a request and the parameters of its path, decoded; else the methods that its path
/// has, for Allow: none when there is no such path.
pub(super) fn find<'a>(
    routes: &'a [Route],
    method: &Method,
    path: &str,
) -> Result<(&'a Route, Vec<String>), String> {
    let wanted = match *method {
        Method::HEAD => Method::GET,
        ref method => method.clone(),
    };
    // A path that is written out comes before one with a parameter in its place.
    let fits = |route: &'a Route| Some((parameters(route.template, path)?, route));
    let fitting: Vec<_> = routes.iter().filter_map(fits).collect();
    let fewest = fitting.iter().map(|(parameters, _)| parameters.len()).min();
    let mut allowed = Vec::new();
    for (parameters, route) in fitting {
        if Some(parameters.len()) != fewest {
            continue;
        }
        if route.method == wanted {
            return Ok((route, parameters));
        }
        if route.method == Method::GET {
            allowed.push("HEAD");
        }
        allowed.push(route.method.as_str());
    }
    allowed.sort_unstable();
    Err(allowed.join(", "))
}

/// What a path has in place of the template's parameters; `None` when it is another path.
fn parameters(template: &str, path: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let (mut names, mut parts) = (template.split('/'), path.split('/'));
    loop {
        match (names.next(), parts.next()) {
            (None, None) => return Some(found),
            (Some(name), Some(part)) if name.starts_with('{') => {
                if part.is_empty() {
                    return None;
                }
                let part = percent_decode_str(part).decode_utf8().ok()?;
                found.push(part.into_owned());
            }
            (Some(name), Some(part)) if name == part => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fits_its_template() {
        let check = |template, path, expect: Option<&[&str]>| {
            let expect = expect.map(|expect| expect.iter().map(ToString::to_string).collect());
            assert_eq!(parameters(template, path), expect, "{path}");
        };
        check("/v1/policy", "/v1/policy", Some(&[]));
        check("/v1/policy", "/v1/policy/", None);
        check("/v1/policy", "/v1", None);
        check("/v1/{id}", "/v1/a", Some(&["a"]));
        check("/v1/{id}", "/v1/", None);
        check("/v1/{id}", "/v1/a/b", None);
        // Decoded once: an id may have what a URL's path cannot.
        check("/v1/{id}", "/v1/a%2Fb%2520", Some(&["a/b%20"]));
        check("/v1/{id}", "/v1/%ff", None);
        check("/v1/{id}/x/{other}", "/v1/a/x/b", Some(&["a", "b"]));
    }

    #[test]
    fn the_methods_of_a_path_are_known() {
        async fn nothing(_: Call) -> Answer {
            unreachable!("nobody calls")
        }
        const ABOUT: About = About::nothing("a", "b");
        let routes = [
            Route::get("/v1/{id}", nothing, ABOUT),
            Route::delete("/v1/{id}", nothing, ABOUT),
            Route::post("/v1/import", nothing, ABOUT),
        ];
        let check = |method, path, expect: Result<&str, &str>| {
            let found = find(&routes, &method, path);
            let found = found.map(|(route, _)| route.template);
            assert_eq!(found, expect.map_err(str::to_owned), "{path}");
        };
        check(Method::GET, "/v1/a", Ok("/v1/{id}"));
        check(Method::HEAD, "/v1/a", Ok("/v1/{id}"));
        check(Method::POST, "/v1/a", Err("DELETE, GET, HEAD"));
        check(Method::POST, "/v1/import", Ok("/v1/import"));
        check(Method::GET, "/v1/import", Err("POST"));
        check(Method::GET, "/v2", Err(""));
    }
}
