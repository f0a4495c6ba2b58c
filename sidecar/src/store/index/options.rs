//! How RocksDB is set up.

use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, Options};

use super::Family;

/// Bits per entity of the filter that tells what is not stored: 1.2 MiB for a million entities.
const BLOOM_BITS: f64 = 10.0;

/// Bytes of blocks in memory, those that tell where keys are among them, for all families together:
/// left to itself each has 32 MiB, and what tells where keys are beside them.
const BLOCKS: usize = 8 << 20;

/// Blocks of a file go with it. Otherwise they stay until others take their place, and of an index
/// of a few MiB that is always written anew all of [`BLOCKS`] would be in memory in the end.
const UNCACHE: &str = "uncache_aggressiveness=300";

/// The data folder has to stay near `max_bytes`: small buffers, a small log, few old files.
pub(super) fn options() -> Options {
    let mut options = Options::default();
    options.set_db_write_buffer_size(4 << 20);
    options.set_max_total_wal_size(4 << 20);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(256 << 10);
    options.set_recycle_log_file_num(0);
    options.set_manifest_preallocation_size(64 << 10);
    options.set_max_manifest_file_size(1 << 20);
    if cfg!(test) {
        // They would be started for each of many small folders.
        options.set_max_file_opening_threads(1);
    }
    options
}

pub(super) fn families() -> Vec<ColumnFamilyDescriptor> {
    let blocks = Cache::new_lru_cache(BLOCKS);
    let family = |family: Family| {
        let mut options = Options::default()
            .get_options_from_string(UNCACHE)
            .expect("the option is one of RocksDB's");
        options.set_write_buffer_size(1 << 20);
        options.set_target_file_size_base(2 << 20);
        options.set_max_bytes_for_level_base(8 << 20);
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&blocks);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        if matches!(family, Family::Entities | Family::Meta) {
            // Most of what is asked for and not in memory was never seen before.
            table.set_bloom_filter(BLOOM_BITS, false);
        }
        options.set_block_based_table_factory(&table);
        if family == Family::Ages {
            // The next to be evicted stands behind all that have been: what was deleted there is
            // to go soon, so that it is found at once.
            options.add_compact_on_deletion_collector_factory(1024, 512, 0.5);
        }
        ColumnFamilyDescriptor::new(family.name(), options)
    };
    Family::ALL.into_iter().map(family).collect()
}
