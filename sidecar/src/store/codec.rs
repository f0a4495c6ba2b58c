//! How keys and values of the index are written and read; for the fuzz targets, which know no way
//! around it.

pub use super::ages::{
    age_key, decode_segment, encode_segment, parse_age_key, parse_segment_key, segment_key,
};
pub use super::layout::{
    LayoutError, decode_entity, decode_row, encode_entity, encode_row, row_key, row_len,
};
