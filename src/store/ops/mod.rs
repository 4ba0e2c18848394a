//! The operations, one a file: each decides in SQL, within the transaction that writes it.

pub(super) mod bring_forward;
pub(super) mod claim;
pub(super) mod configure;
pub(super) mod enqueue;
pub(super) mod hold;
pub(super) mod ids;
pub(super) mod notes;
pub(super) mod quota;
pub(super) mod recover;
pub(super) mod request;
pub(super) mod respread;
pub(super) mod settle;
pub(super) mod tidy;
