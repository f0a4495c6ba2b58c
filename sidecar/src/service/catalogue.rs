//! Videos and channels: what the operator and the front-end say of them.

use std::ops::Bound;
use std::sync::{Arc, PoisonError};

use viewcache_protocol::{EntityKey, Profile};

use super::Service;
use crate::catalogue::{Channel, Channels, Video, is_id, video_of};
use crate::events::{Edited, Event};
use crate::live::{Live, State};
use crate::policy::Rules;
use crate::store::{Patience, StoreError};

impl Service {
    /// What holds for an entity.
    pub(super) fn rules(&self, state: &State) -> Rules {
        self.rules_of(state.record.key.profile(), state.channel.as_deref())
    }

    /// What holds for the entities of a profile whose videos belong to a channel.
    pub(super) fn rules_of(&self, profile: Profile, channel: Option<&str>) -> Rules {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        let channel = channel.and_then(|id| channels.get(id));
        self.policy().rules(profile, channel)
    }

    /// All channels.
    pub fn channels(&self) -> Channels {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels.clone()
    }

    /// One of them.
    pub fn channel(&self, id: &str) -> Option<Channel> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels.get(id).cloned()
    }

    /// The one that comes next after another.
    pub(super) fn said_channel_after(&self, after: Option<&str>) -> Option<String> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = channels.range::<str, _>((from, Bound::Unbounded));
        rest.next().map(|(id, _)| id.clone())
    }

    /// Stores channels, or forgets those that are `None`. Blocks.
    ///
    /// # Errors
    /// When they cannot be stored; the old ones hold then.
    pub fn set_channels(
        self: &Arc<Self>,
        changes: &[(&str, Option<&Channel>)],
    ) -> Result<(), StoreError> {
        self.store.put_channels(changes)?;
        {
            let mut channels = self
                .channels
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            for &(id, channel) in changes {
                match channel {
                    Some(channel) => channels.insert(id.to_owned(), channel.clone()),
                    None => channels.remove(id),
                };
            }
        }
        let changed = |live: &Arc<Live>| {
            let state = live.state();
            let channel = state.channel.as_deref();
            channel.is_some_and(|channel| changes.iter().any(|(id, _)| *id == channel))
        };
        self.look_again(changed);
        if changes
            .iter()
            .any(|(_, channel)| channel.is_some_and(|c| c.drop_lower == Some(true)))
        {
            self.lower.look_at_all();
        }
        for &(id, _) in changes {
            let id = id.to_owned();
            self.events.tell(|| Event::Channel(Edited { id }));
        }
        Ok(())
    }

    /// What is known of a video. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn video(&self, id: &str) -> Result<Option<Video>, StoreError> {
        self.store.video(id, Patience::Wait)
    }

    /// Stores what is known of a video, or forgets it; for what is in memory of it that holds at
    /// once. Blocks.
    ///
    /// # Errors
    /// When it cannot be stored; what was known holds then.
    pub fn set_video(self: &Arc<Self>, id: &str, video: Option<&Video>) -> Result<(), StoreError> {
        self.store.put_video(id, video)?;
        let channel = video.and_then(|video| video.channel.as_ref());
        self.look_again(|live| {
            let mut state = live.state();
            let belongs = video_of(&state.record.key) == id;
            if belongs {
                state.channel = channel.cloned();
            }
            belongs
        });
        self.lower.look_at(id.to_owned());
        let id = id.to_owned();
        self.events.tell(|| Event::Video(Edited { id }));
        Ok(())
    }

    /// The front-end has told the channel of what is wanted.
    pub(super) fn told_channel(self: &Arc<Self>, live: &Arc<Live>, channel: &str) {
        let video = {
            let mut state = live.state();
            if state.channel.as_deref() == Some(channel) || !is_id(channel) {
                return;
            }
            state.channel = Some(channel.to_owned());
            video_of(&state.record.key)
        };
        let (service, channel) = (Arc::clone(self), channel.to_owned());
        self.writers.spawn(move || {
            let _editing = service.editing();
            let known = service.store.video(&video, Patience::Wait);
            let told = known.and_then(|known| {
                let video_is = Video {
                    channel: Some(channel),
                    ..known.unwrap_or_default()
                };
                service.set_video(&video, Some(&video_is))
            });
            if let Err(error) = told {
                service.trouble("a video's channel could not be stored", &error);
            }
        });
    }

    /// The channel of an entity that comes into memory.
    pub(super) fn channel_of(
        &self,
        key: &EntityKey,
        patience: Patience,
    ) -> Result<Option<String>, StoreError> {
        let video = self.store.video(&video_of(key), patience)?;
        Ok(video.and_then(|video| video.channel))
    }

    /// Judges the entities in memory anew for which other rules hold now.
    fn look_again(self: &Arc<Self>, changed: impl Fn(&Arc<Live>) -> bool) {
        let all = self.table.all();
        for live in all.iter().filter(|live| changed(live)) {
            self.apply_rules(live);
            self.grown(live);
            self.consider(live);
            self.tend(live);
        }
        self.give_up_unwanted();
    }
}
