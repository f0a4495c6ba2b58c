//! The part of an exchange in which a body passes whose fill was granted.

use viewcache_protocol::{ChunkHead, End, EntityKey, FillId, GenerationId, Outcome};

use super::effect::{Effect, Event};
use crate::budget::Shed;
use crate::callout::Answer;
use crate::counter::{Counter, Reason};
use crate::mirror::{Mirror, Step};

/// A body on its way.
#[derive(Debug)]
pub(super) struct Filling {
    /// The entity.
    key: EntityKey,
    /// Who watches it.
    viewer: String,
    /// What mirror messages name the fill by.
    fill: FillId,
    /// What the bytes belong to.
    generation: GenerationId,
    /// How the body is cut.
    mirror: Mirror,
    /// Whether only its clean end tells the length.
    open_ended: bool,
}

impl Filling {
    pub(super) fn new(
        key: EntityKey,
        viewer: String,
        fill: FillId,
        generation: GenerationId,
        mirror: Mirror,
        open_ended: bool,
    ) -> Self {
        Self {
            key,
            viewer,
            fill,
            generation,
            mirror,
            open_ended,
        }
    }

    /// Whether more chunks will come.
    pub(super) fn active(&self) -> bool {
        self.mirror.active()
    }

    /// Takes an event; `None` when the body is over.
    pub(super) fn on(mut self, event: Event<'_>, effects: &mut Vec<Effect>) -> Option<Self> {
        match event {
            Event::Frame { len, last } => {
                let steps = self.mirror.frame(len);
                effects.extend(steps.into_iter().map(|step| self.effect(step)));
                self.count_pauses(effects);
                if last {
                    self.end(true, effects);
                    return None;
                }
            }
            // It leaves nobody to take chunks.
            Event::BeginAnswered(Answer::Lost) => self.shed(Shed::Begin, effects),
            Event::Unreadable => self.shed(Shed::Unreadable, effects),
            Event::BeginAnswered(answer) => {
                let step = self.mirror.begun(answer);
                effects.extend(step.map(|step| self.effect(step)));
            }
            Event::ChunkAnswered(answer) => {
                if answer == Answer::Lost {
                    effects.push(Effect::Count(Counter::ChunkLost));
                }
                let step = self.mirror.answered(answer);
                effects.extend(step.map(|step| self.effect(step)));
                self.count_pauses(effects);
            }
            Event::Done => {
                self.end(false, effects);
                return None;
            }
            Event::Request(_) | Event::Recalled(_) | Event::Decided(_) | Event::Response(_) => {}
        }
        Some(self)
    }

    fn shed(&mut self, shed: Shed, effects: &mut Vec<Effect>) {
        if self.mirror.active() {
            effects.push(Effect::CountBy(Reason::MirrorShed(shed)));
        }
        self.mirror.stop();
    }

    fn count_pauses(&mut self, effects: &mut Vec<Effect>) {
        let pauses = self.mirror.take_pauses();
        effects.extend((0..pauses).map(|_| Effect::Count(Counter::MirrorPaused)));
    }

    fn effect(&self, step: Step) -> Effect {
        match step {
            Step::Copy { at, len, capacity } => Effect::Copy { at, len, capacity },
            Step::Forget { len } => Effect::Drop { len },
            Step::Send(chunk) => {
                let (entity, generation) = (self.key.id(), self.generation);
                let head = ChunkHead {
                    entity,
                    generation,
                    offset: chunk.offset,
                };
                Effect::Chunk {
                    fill: self.fill,
                    head,
                    node: self.key.node(),
                    len: chunk.len,
                    source: chunk.source,
                }
            }
        }
    }

    /// By the body's end (`clean`), or because the viewer or the origin is gone.
    fn end(mut self, clean: bool, effects: &mut Vec<Effect>) {
        let rest = self.mirror.flush();
        effects.extend(rest.map(|step| self.effect(step)));
        let complete = self.mirror.complete() || self.open_ended && clean;
        let outcome = if complete {
            Outcome::Complete
        } else {
            Outcome::Abandoned
        };
        let delivered = self.mirror.delivered();
        let end = End {
            key: self.key,
            viewer: delivered.map_or_else(String::new, |_| self.viewer),
            delivered,
            outcome,
        };
        effects.push(Effect::End {
            fill: self.fill,
            end,
        });
    }
}

/// The last word on a fill of which nobody got a byte.
pub(super) fn unused(fill: FillId, key: EntityKey, outcome: Outcome) -> Effect {
    Effect::End {
        fill,
        end: End {
            key,
            viewer: String::new(),
            delivered: None,
            outcome,
        },
    }
}
