//! `ferryd`: the entry only.
fn main() {}
