//! Mirroring: any sequence of the filter's messages, answered by the sidecar's data port with a
//! store of its own. What is stored are the bytes that were sent for its generation, all those
//! that were taken, and the index agrees with the disk.

mod bytes_of;
mod model;
mod program;
mod run;
mod world;

use std::sync::{Mutex, PoisonError};

use world::World;

/// After so many inputs the store is looked at as a whole and replaced: seldom where the fuzzer has
/// to be fast.
const INPUTS: usize = if cfg!(feature = "libfuzzer") { 256 } else { 8 };

/// A store, and the inputs that it has seen.
static SEEN: Mutex<Option<(World, Vec<Vec<u8>>)>> = Mutex::new(None);

/// The bytes are a program: see `program`.
pub fn ingest(data: &[u8]) {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut world, mut inputs) = seen.take().unwrap_or_else(|| (World::new(), Vec::new()));
    world.run(data);
    inputs.push(data.to_vec());
    if inputs.len() < INPUTS {
        *seen = Some((world, inputs));
        return;
    }
    let Err(problems) = world.end() else {
        return;
    };
    // Whichever of them it was.
    for input in &inputs {
        let mut alone = World::new();
        alone.run(input);
        if let Err(problems) = alone.end() {
            panic!("after {input:?}: {problems}");
        }
    }
    panic!("after {} inputs together: {problems}", inputs.len());
}
