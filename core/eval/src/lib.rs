//! The Evenhand evaluation core: manifest, targeting, bucketing, decision, explain. Pure.
