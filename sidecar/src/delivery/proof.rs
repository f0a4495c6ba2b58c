//! Whether bytes that did not come from the origin are the origin's. A few pieces are compared, and
//! the complete length: the beginning and the end, where media files tell of all the rest, and the
//! middle. Only then may bytes of both stand beside each other.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::Instant;
use viewcache_protocol::{Asked, ByteRange, Generation, Profile, RangeSpec, Transfer, date};

use super::source::{SourceError, text_headers};
use crate::extents::Extents;
use crate::live::{Live, Snapshot};
use crate::origin::{self, Asker, Under};
use crate::service::{Read, Service};
use crate::store::GenerationRecord;

/// How long a piece is that is compared.
const PIECE: u64 = 64 << 10;

/// The pieces of what is there to be compared, ascending: at its beginning, around its middle and
/// at its end.
pub fn pieces(there: &Extents) -> Vec<ByteRange> {
    let ends = (there.iter().next(), there.iter().last());
    let (Some(first), Some(last)) = ends else {
        return Vec::new();
    };
    let middle = first.start() + (last.end() - first.start()) / 2;
    let mut pieces = Extents::default();
    for at in [first.start(), middle, last.end().saturating_sub(PIECE)] {
        // Where nothing is, what comes next is as good.
        let at = match there.run_end(at) {
            Some(_) => Some(at),
            None => there.next_start(at),
        };
        let run = at.and_then(|at| Some((at, there.run_end(at)?)));
        let piece = run.and_then(|(at, end)| ByteRange::new(at, end.min(at.saturating_add(PIECE))));
        piece.into_iter().for_each(|piece| pieces.insert(piece));
    }
    pieces.iter().collect()
}

/// What the origin has in the place of a piece.
#[derive(Debug)]
pub struct Sample {
    /// As which generation, and with which header fields.
    pub transfer: Transfer,
    /// The bytes.
    pub bytes: Bytes,
}

/// Asks the origin for a piece.
///
/// # Errors
/// When it does not give just that.
pub async fn sample(
    service: &Arc<Service>,
    profile: Profile,
    piece: ByteRange,
    asker: &Asker,
    deadline: Instant,
) -> Result<Sample, SourceError> {
    let spec = RangeSpec::Closed {
        first: piece.start(),
        last: piece.end() - 1,
    };
    let asked = Asked {
        profile,
        range: Some(spec),
        range_in_query: false,
        complete_length: None,
        open_ended: false,
    };
    let range = format!("bytes={spec}");
    let fetched = service
        .origin
        .fetch(asker, Some(&range), Under::Nothing, deadline);
    let response = fetched.await?;
    let status = response.status().as_u16();
    let mut headers = text_headers(&response);
    date(&mut headers, SystemTime::now());
    let admission = service.admission(profile);
    let judged = Transfer::judge(&asked, &admission.targeted(), status, &headers);
    let transfer = judged.map_err(|reason| SourceError::Declined {
        status,
        reason,
        retry_after: origin::retry_after(response.headers(), SystemTime::now()),
    })?;
    if !transfer.range.covers(piece) {
        return Err(SourceError::Short(transfer.range.end()));
    }
    // A 200 is the whole: what comes before the piece is not worth waiting for.
    if transfer.range.start() != piece.start() {
        return Err(SourceError::NotCombinable);
    }
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    while (bytes.len() as u64) < piece.len() {
        let frame = tokio::time::timeout_at(deadline, body.frame()).await;
        let Some(Ok(frame)) = frame.map_err(|_| SourceError::Patience)? else {
            return Err(SourceError::Short(piece.start() + bytes.len() as u64));
        };
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    service.metrics.origin_bytes.inc_by(bytes.len() as u64);
    let bytes = bytes.freeze().slice(..piece.len() as usize);
    Ok(Sample { transfer, bytes })
}

/// Compares an imported generation with what the origin has. The generation as it is then comes
/// back; one that differs is removed.
///
/// # Errors
/// When the origin does not say, and [`SourceError::Changed`] when it has something else.
pub(super) async fn prove(
    service: &Arc<Service>,
    live: &Arc<Live>,
    snapshot: &Snapshot,
    asker: &Asker,
    deadline: Instant,
) -> Result<GenerationRecord, SourceError> {
    let seq = snapshot.place.seq;
    let (profile, pieces) = {
        let state = live.state();
        let living = state.record.generation.as_ref();
        let living = living.filter(|living| living.seq == seq);
        let living = living.ok_or(SourceError::Changed)?;
        if !living.is_unproven() {
            // Somebody else was quicker.
            return Ok(living.clone());
        }
        (state.record.key.profile(), pieces(&state.stored))
    };
    let length = snapshot.generation.complete_length();
    let mut told: Option<Generation> = None;
    for piece in pieces {
        // What is damaged is stored no more.
        let Some(ours) = read(service, live, seq, piece).await else {
            continue;
        };
        let Sample { transfer, bytes } = sample(service, profile, piece, asker, deadline).await?;
        let identity = told.get_or_insert_with(|| transfer.generation.clone());
        let same = *identity == transfer.generation && identity.complete_length == length;
        if !same || bytes != ours {
            service.disown(live, seq).await;
            return Err(SourceError::Changed);
        }
    }
    let proven = service.proven(live, seq, told);
    proven.ok_or(SourceError::Changed)
}

async fn read(
    service: &Arc<Service>,
    live: &Arc<Live>,
    seq: u64,
    piece: ByteRange,
) -> Option<Bytes> {
    match service.read(live, seq, piece) {
        Read::Done(bytes) => Some(bytes),
        Read::Waits(waits) => waits.await.ok()?.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_middle_and_end_are_compared() {
        let range = |start, end| ByteRange::new(start, end).unwrap();
        let check = |there: &[ByteRange], expect: &[ByteRange]| {
            let there: Extents = there.iter().copied().collect();
            assert_eq!(pieces(&there), expect);
        };
        let mib = 1 << 20;
        check(&[], &[]);
        check(&[range(0, 10)], &[range(0, 10)]);
        check(
            &[range(0, mib)],
            &[
                range(0, PIECE),
                range(mib / 2, mib / 2 + PIECE),
                range(mib - PIECE, mib),
            ],
        );
        // The middle is not there.
        check(
            &[range(PIECE, 2 * PIECE), range(mib - 10, mib)],
            &[range(PIECE, 2 * PIECE), range(mib - 10, mib)],
        );
        check(&[range(0, PIECE + 5)], &[range(0, PIECE + 5)]);
    }
}
