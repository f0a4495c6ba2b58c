//! Whose bytes a file has: what the origin says of that, and what becomes of what it says.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use viewcache_protocol::{ByteRange, Generation, OriginRequest, Profile, Selecting};

use super::Service;
use crate::delivery::{Sample, SourceError, pieces, sample};
use crate::error::Error;
use crate::imports::{Skip, SkipReason};
use crate::live::Live;
use crate::origin::Asker;
use crate::store::GenerationRecord;

/// How long the origin may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the origin says of a file.
#[derive(Debug)]
pub(super) struct Vouched {
    /// What its bytes are.
    pub(super) identity: Generation,
    /// Under which header fields.
    pub(super) headers: Vec<(String, String)>,
}

impl Service {
    /// Asks the origin whether it has the bytes of a file of this length.
    ///
    /// # Errors
    /// When it has others, or does not say.
    pub(super) async fn ask_origin(
        self: &Arc<Self>,
        profile: Profile,
        origin: &OriginRequest,
        file: &Arc<File>,
        length: u64,
    ) -> Result<Vouched, Skip> {
        let asker = Asker::told(origin, &Selecting::default());
        let asker = asker.ok_or_else(|| SkipReason::Origin.with("its URL cannot be asked for"))?;
        let deadline = Instant::now() + PATIENCE;
        let whole = ByteRange::new(0, length).into_iter().collect();
        let mut told: Option<Vouched> = None;
        for piece in pieces(&whole) {
            let asked = sample(self, profile, piece, &asker, deadline).await;
            let Sample { transfer, bytes } = asked.map_err(|error| unsaid(&error))?;
            let there = transfer.generation.complete_length;
            if there != length {
                let detail = format!("the origin has {there} bytes, and the file {length}");
                return Err(SkipReason::Differs.with(detail));
            }
            let identity = transfer.generation;
            let told = told.get_or_insert_with(|| Vouched {
                identity: identity.clone(),
                headers: transfer.headers,
            });
            if told.identity != identity {
                return Err(SkipReason::Origin.with("it has changed meanwhile"));
            }
            if read(file, piece).await? != bytes {
                let detail = format!("bytes {piece} are not the origin's");
                return Err(SkipReason::Differs.with(detail));
            }
        }
        told.ok_or_else(|| SkipReason::Empty.with("there is nothing in it"))
    }

    /// An imported generation was compared with what the origin has, and is that: `identity`, if
    /// anything of it was left to be compared. `None` when it is not the living one any more.
    pub fn proven(
        &self,
        live: &Live,
        seq: u64,
        identity: Option<Generation>,
    ) -> Option<GenerationRecord> {
        let mut state = live.state();
        let living = state.record.generation.as_mut();
        let living = living.filter(|living| living.seq == seq)?;
        living.identity = identity.unwrap_or_else(|| living.identity.clone());
        if let Some(original) = &mut living.original {
            original.proven = true;
        }
        let proven = living.clone();
        state.dirty = true;
        drop(state);
        tracing::info!(entity = %live.id, "what was imported is what the origin has");
        Some(proven)
    }

    /// What was imported is not what the origin has: nobody gets any more of it.
    pub async fn disown(self: &Arc<Self>, live: &Arc<Live>, seq: u64) {
        tracing::warn!(entity = %live.id, "what was imported is not what the origin has");
        self.disowned(live.id);
        let (service, live) = (Arc::clone(self), Arc::clone(live));
        let removal = move || service.remove(&live, |state| state.lives(seq));
        let removed = tokio::task::spawn_blocking(removal).await;
        if let Err(error) = removed
            .map_err(Error::from)
            .and_then(|removed| Ok(removed?))
        {
            tracing::error!(%error, "an import that differs stays");
        }
    }
}

fn unsaid(error: &SourceError) -> Skip {
    SkipReason::Origin.with(error)
}

async fn read(file: &Arc<File>, piece: ByteRange) -> Result<Vec<u8>, Skip> {
    let file = Arc::clone(file);
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; piece.len() as usize];
        file.read_exact_at(&mut bytes, piece.start())?;
        Ok::<_, std::io::Error>(bytes)
    });
    let read = reading.await.unwrap_or_else(|died| Err(died.into()));
    read.map_err(|error| SkipReason::Unreadable.with(error))
}
