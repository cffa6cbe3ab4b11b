//! Retention: which log an event goes to, how long that log keeps it, what is held all the same, and what expires now.
//!
//! A log keeps all its events for one span of time, so that what expires is its beginning. Policies and holds are entries of log 0: whoever
//! can check its checkpoints can check by whose word an event went or stayed. The files: [`seal`](crate::seal).

pub(crate) mod adopt;
mod apply;
mod clock;
mod holds;
mod plan;
mod policy;
mod stay;

pub use apply::{Expiration, ExpireOptions, Expired};
pub use holds::Hold;
pub use plan::{LogPlan, Plan, PlanOptions};
pub(crate) use policy::Router;
pub use policy::{Keep, Minimum, Retention, Rule};
