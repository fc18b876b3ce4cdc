//! Definitions, validation, audit, publishing: what a product manager says becomes a manifest.
