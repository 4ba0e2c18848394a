//! The simulated world holds its laws, and would not if the core were broken.

mod fleet;
mod lives;
mod mutant;
mod mutants;
mod queue;
