//! Every bound of the format in one place. Changing one downwards is a format change.

/// Leaves in one group: one seed, one subtree root.
pub const GROUP_LEAVES: u64 = 256;
/// Bytes of a caller's id.
pub const ID_BYTES_MAX: usize = 256;
/// Bytes of a tenant name.
pub const TENANT_BYTES_MAX: usize = 128;
/// Bytes of an action.
pub const ACTION_BYTES_MAX: usize = 128;
/// Bytes of a source name.
pub const SOURCE_BYTES_MAX: usize = 64;
/// Bytes of a producer id.
pub const PRODUCER_BYTES_MAX: usize = 128;
/// Frameworks named by one event.
pub const FRAMEWORKS_MAX: usize = 16;
/// Bytes of one framework's name.
pub const FRAMEWORK_BYTES_MAX: usize = 32;
/// Bytes of a short string: actor and origin members, session, target members.
pub const STRING_BYTES_MAX: usize = 8 * 1024;
/// Bytes of the identity body.
pub const IDENTITY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the content body: details may have 1 MiB, targets the rest.
pub const CONTENT_BYTES_MAX: usize = 1024 * 1024 + 64 * 1024;
/// Bytes of `details`.
pub const DETAILS_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a raw foreign record.
pub const RAW_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a media type.
pub const MEDIA_TYPE_BYTES_MAX: usize = 128;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 1024;
/// Targets of one event; spans are kept for the first `SPANNED_TARGETS_MAX`.
pub const TARGETS_MAX: usize = 1024;
/// Targets that get spans.
pub const SPANNED_TARGETS_MAX: usize = 60;
/// Levels of nesting within one group.
pub const DEPTH_MAX: usize = 128;
/// Groups of one event.
pub const GROUPS_MAX: usize = 16;
/// Bytes of a control entry.
pub const CONTROL_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one record.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one frame, padding included.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Frames and file headers are multiples of this: what a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;
/// Logs of one store.
pub const LOGS_MAX: usize = 4096;
/// Bytes of one signed note in a frame.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;
