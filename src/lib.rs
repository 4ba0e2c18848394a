//! Ferry's library; see `README.md` for what Ferry is and `docs/` for its reference.
pub mod model;
