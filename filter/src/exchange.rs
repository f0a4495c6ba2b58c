//! One request and its response: the state machine. Events go in, effects come out, both plain
//! values; it calls nobody. Every failure ends in "to the origin, untouched", and here is where
//! that is decided.

mod effect;
mod filling;
mod granted;
mod note;

use std::mem;
use std::rc::Rc;

use viewcache_protocol::{
    DecideRequest, Decision, EntityKey, Forward, Invalidate, OriginRequest, Outcome,
    PROTOCOL_VERSION, Route, Selecting, Wanted, header,
};

use crate::budget::{Budget, Lease};
use crate::callout::Failure;
use crate::config::Config;
use crate::counter::{Counter, Reason};
use crate::head::{RequestHead, ResponseHead};
use crate::profile::{self, BypassReason};
use crate::remembered::Recalled;

use filling::{Filling, unused};
use granted::Granted;
use note::Note;

pub use effect::{Effect, Event};

/// A request whose decision is awaited.
#[derive(Debug)]
struct Asking {
    /// What is asked for.
    wanted: Wanted,
    /// By what of the request an answer may be selected.
    selecting: Selecting,
    /// How more of it is asked for.
    origin: OriginRequest,
    /// Whether nothing is to be had that is not stored.
    only_if_cached: bool,
}

/// Where the exchange is, with what is needed from there on.
#[derive(Debug)]
enum State {
    /// The request has not come. A local reply may come without it.
    New,
    /// What is remembered is being looked up, which takes no time.
    Recalling(DecideRequest, OriginRequest),
    /// The decision is awaited and the request paused.
    Asking(Asking),
    /// Sent to the sidecar.
    Routed(Route),
    /// Sent to the origin, to be mirrored if its response may be stored.
    Granted(Granted),
    /// Sent to the origin, not to be mirrored.
    Passing(Note),
    /// Sent to the origin, to change an entity.
    Changing(Note, EntityKey),
    /// The response's body passes.
    Filling(Filling),
    /// Nothing more to do.
    Over,
}

/// How much of a response's head matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// All fields.
    All,
    /// Whether the sidecar has answered.
    Served,
    /// The status.
    Status,
    /// Nothing.
    Nothing,
}

/// The exchange.
#[derive(Debug)]
pub struct Exchange {
    /// What the filter runs by.
    config: Rc<Config>,
    /// The memory shared with the other streams.
    budget: Rc<Budget>,
    /// Where it is.
    state: State,
}

impl Exchange {
    /// One that has not begun.
    pub fn new(config: Rc<Config>, budget: Rc<Budget>) -> Self {
        Self {
            config,
            budget,
            state: State::New,
        }
    }

    /// Whether the request has to wait.
    pub fn waiting(&self) -> bool {
        matches!(self.state, State::Asking(..))
    }

    /// What of the response's head is looked at: each byte that crosses into the VM costs.
    pub fn reads(&self) -> Reads {
        match self.state {
            State::Granted(_) => Reads::All,
            State::Changing(..) => Reads::Status,
            State::Routed(_) => Reads::Served,
            _ => Reads::Nothing,
        }
    }

    /// Whether chunks are being sent, so that their buffer is needed.
    pub fn mirroring(&self) -> bool {
        matches!(&self.state, State::Filling(filling) if filling.active())
    }

    /// Takes an event; says what is to be done, in this order. An event that does not belong
    /// where the exchange is does nothing: local replies come at any time.
    pub fn on(&mut self, event: Event<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let state = mem::replace(&mut self.state, State::Over);
        self.state = match (state, event) {
            (State::New, Event::Request(head)) => self.request(head, &mut effects),
            (State::Recalling(request, origin), Event::Recalled(recalled)) => {
                self.recall(request, origin, &recalled, &mut effects)
            }
            (State::Asking(asking), Event::Decided(decided)) => {
                let hit = matches!(decided, Ok(Decision::Hit { .. }));
                match decided {
                    _ if asking.only_if_cached && !hit => refuse(&mut effects),
                    Ok(decision) => self.decided(asking, decision, &mut effects),
                    Err(failure) => failed(failure, &mut effects),
                }
            }
            // A local reply overtook the decision, whose request must not be touched any more.
            (State::Asking(..), Event::Response(_)) => State::Over,
            (State::Routed(route), Event::Response(head)) => self.routed(route, head, &mut effects),
            (State::Passing(note), Event::Response(_)) => {
                effects.push(note.annotate());
                State::Over
            }
            (State::Changing(note, key), Event::Response(head)) => {
                effects.push(note.annotate());
                if matches!(head.status(), 200..400) {
                    effects.push(Effect::Forget(key.id()));
                    effects.push(Effect::Invalidate(Invalidate { key }));
                }
                State::Over
            }
            (State::Granted(granted), Event::Response(head)) => {
                let lease = || Lease::start(&self.budget, self.config.mirror);
                let filling = granted.answered(head, lease, &mut effects);
                filling.map_or(State::Over, State::Filling)
            }
            (State::Granted(granted), Event::Done) => {
                effects.push(unused(granted.fill, granted.key, Outcome::Abandoned));
                State::Over
            }
            (State::Filling(filling), event) => match filling.on(event, &mut effects) {
                Some(filling) => State::Filling(filling),
                None => State::Over,
            },
            (_, Event::Done) => State::Over,
            (state, _) => state,
        };
        effects
    }

    fn request(&self, head: &RequestHead, effects: &mut Vec<Effect>) -> State {
        // Envoy's configuration removes these before the filter; this is the second net.
        let forged = head.fields.names_with_prefix(header::PREFIX);
        effects.extend(forged.into_iter().map(Effect::RemoveRequestHeader));
        match profile::identify(&self.config, head) {
            Ok(request)
                if self.config.remember
                    && request.wanted.parts.is_empty()
                    && profile::unconditional(head) =>
            {
                effects.push(Effect::Recall(request.wanted.key.id()));
                let origin = profile::origin_by_key(&self.config, head, &request.wanted);
                State::Recalling(request, origin)
            }
            Ok(request) => {
                let only_if_cached = profile::only_if_cached(&self.config, head);
                let origin = profile::origin_by_key(&self.config, head, &request.wanted);
                ask(request, origin, only_if_cached, effects)
            }
            Err(reason) => {
                effects.push(Effect::CountBy(Reason::Bypass(reason)));
                let note = Note::from(reason);
                match profile::changed(&self.config, head) {
                    Some(key) => State::Changing(note, key),
                    None => State::Passing(note),
                }
            }
        }
    }

    fn decided(&self, asking: Asking, decision: Decision, effects: &mut Vec<Effect>) -> State {
        let Asking {
            wanted,
            selecting,
            origin,
            ..
        } = asking;
        let (counter, state) = match decision {
            Decision::Hit { remember_ms } => {
                let millis = remember_ms.filter(|_| self.config.remember);
                let entity = wanted.key.id();
                effects.extend(millis.map(|millis| Effect::Remember { entity, millis }));
                (Counter::Hit, self.route(&wanted, Route::Hit, effects))
            }
            Decision::Partial => {
                let state = self.route(&wanted, Route::Partial, effects);
                (Counter::Partial, state)
            }
            Decision::Miss {
                forward,
                grant: Some(grant),
            } => {
                let granted = Granted {
                    key: wanted.key.variant(grant.variant),
                    wanted,
                    selecting,
                    origin,
                    forward: forward.into(),
                    fill: grant.fill,
                    admission: grant.admission,
                };
                (Counter::Miss, State::Granted(granted))
            }
            Decision::Miss {
                forward,
                grant: None,
            } => {
                let forward = forward.into();
                let detail = match forward {
                    _ if !wanted.parts.is_empty() => BypassReason::SeveralRanges.as_str(),
                    Forward::Bypass => BypassReason::Condition.as_str(),
                    _ => "not-granted",
                };
                (Counter::Miss, State::Passing(Note { forward, detail }))
            }
        };
        effects.push(Effect::Count(counter));
        effects.push(Effect::Resume);
        state
    }

    fn recall(
        &self,
        request: DecideRequest,
        origin: OriginRequest,
        recalled: &Recalled,
        effects: &mut Vec<Effect>,
    ) -> State {
        if !recalled.is_hit(&request.wanted.key.id()) {
            // It has no directives: those are asked for.
            return ask(request, origin, false, effects);
        }
        effects.push(Effect::Count(Counter::Remembered));
        self.route(&request.wanted, Route::Hit, effects)
    }

    /// Envoy picks the route anew when the request goes on, by these headers.
    fn route(&self, wanted: &Wanted, route: Route, effects: &mut Vec<Effect>) -> State {
        let headers = wanted.to_headers().into_iter();
        effects.extend(headers.map(|(name, value)| Effect::SetRequestHeader(name, value)));
        let more = [
            (header::VERSION, PROTOCOL_VERSION),
            (header::ROUTE, route.as_str()),
        ];
        effects.extend(more.map(|(name, value)| Effect::SetRequestHeader(name, value.to_owned())));
        let key_fields: Vec<&str> = profile::key_fields(&self.config, wanted).collect();
        if !key_fields.is_empty() {
            let names = key_fields.join(",");
            effects.push(Effect::SetRequestHeader(header::KEY_FIELDS, names));
        }
        if self.config.secret.is_some() {
            effects.push(Effect::ShowSecret);
        }
        State::Routed(route)
    }

    /// The sidecar's answer has its own Cache-Status and a header that says whose it is; without
    /// that header Envoy has failed over to the origin, or has failed itself.
    fn routed(&self, route: Route, head: &ResponseHead, effects: &mut Vec<Effect>) -> State {
        let ours = head.fields.names_with_prefix(header::PREFIX);
        effects.extend(ours.into_iter().map(Effect::RemoveResponseHeader));
        if !head.fields.has(header::SERVED) {
            effects.push(Effect::Count(Counter::Failover));
            // A decision just before is what tells that the sidecar lives, and a remembered one
            // does not. A partial that fails over tells nothing: the sidecar hands back what it
            // need not serve.
            if self.config.remember && route == Route::Hit {
                effects.push(Effect::Distrust);
            }
            let note = Note {
                forward: Forward::Bypass,
                detail: "failover",
            };
            effects.push(note.annotate());
        }
        State::Over
    }
}

fn ask(
    request: DecideRequest,
    origin: OriginRequest,
    only_if_cached: bool,
    effects: &mut Vec<Effect>,
) -> State {
    let asking = Asking {
        wanted: request.wanted.clone(),
        selecting: request.selecting.clone(),
        origin,
        only_if_cached,
    };
    effects.push(Effect::Decide(request));
    State::Asking(asking)
}

/// Nothing of it is to be had without the origin, which the client does not want
/// (RFC 9111 section 5.2.1.7).
fn refuse(effects: &mut Vec<Effect>) -> State {
    effects.push(Effect::Refuse);
    State::Over
}

fn failed(failure: Failure, effects: &mut Vec<Effect>) -> State {
    effects.push(Effect::CountBy(Reason::DecideFailure(failure)));
    effects.push(Effect::Resume);
    State::Passing(Note {
        forward: Forward::Bypass,
        detail: failure.as_str(),
    })
}

#[cfg(test)]
mod tests;
