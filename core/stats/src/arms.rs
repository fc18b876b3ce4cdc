//! One arm: exact sums in, an estimate with its variance out.

pub mod bands;
pub mod cuped;
pub mod cuped_ratio;
pub mod estimate;
pub mod metric;
pub mod moments;
pub mod quantile;
pub mod wide;
pub mod winsorise;
