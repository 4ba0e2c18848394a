//! `ferryctl`: the entry only.
fn main() {}
