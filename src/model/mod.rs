//! Floor 0: the words of Ferry. Plain types without I/O and without serde; every other module speaks them.

mod answer;
mod bandwidth;
mod config;
mod event;
mod file;
mod hold;
mod ids;
mod moment;
mod object;
mod status;
mod strategy;
mod task;
mod window;
mod world;
mod zone;

pub use answer::{Answer, AtChunk, Cut, ItemOutcome, ItemResult};
pub use bandwidth::{Bandwidth, Estimate, Flow, Kept, Measurement, Passage, Sample, Upload, UploadStrategy};
pub use config::{
    Access, AnswerMode, BackendConfig, BackendKind, Config, Credential, Device, HeaderToken, InterfaceRule, Limits,
    NetworkConfig, ProbeConfig, Quotas, StoreConfig,
};
pub use event::{Abandoned, StoreNews, TaskChange, TaskNews, TaskProgress};
pub use file::{FileInfo, Original, Payload, Quality, RecordField, Transfer, Variant};
pub use hold::{Hold, HoldId};
pub use ids::{AttemptId, BackendName, LaneId, NotAName, NotAnId, Owner, StrategyName, TaskId};
pub use moment::{Moment, Now, WallTime};
pub use object::{KeyTemplate, ObjectChecksum, ObjectStore};
pub use status::{ManagerState, Pause, Status, StrategyStatus};
pub use strategy::{BatteryFloor, Conditions, Kind, NetworkNeed, Overrides, Strategy, Waiver, Waivers};
pub use task::{
    Claimed, Counts, CountsByStrategy, Enqueued, Failure, Filter, HistoryEntry, LaneSummary, NewTask, OnExisting, Page,
    Settlement, Standing, State, Task, TaskError, TaskResult, Uploaded,
};
pub use window::{Span, Window};
pub use world::{
    Assume, Battery, Block, Connectivity, Facts, Finding, InterfaceFacts, LinkType, Metered, Network, NetworkId, Power,
    Radio, Reason, World,
};
pub use zone::{Day, Local, Zone};
