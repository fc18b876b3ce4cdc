//! Evenhand statistics: inference from sufficient statistics. Pure.
