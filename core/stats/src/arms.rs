//! One arm: exact sums in, an estimate with its variance out.

pub mod estimate;
pub mod metric;
pub mod moments;
pub mod wide;
