//! What HTTP and gRPC answer alike: who may ask what, decisions under the caller's ids, events into the log. What differs is the shape, which
//! stays in `http/` and `grpc/`.

mod answer;
mod asking;
mod noting;
mod taking;

pub use answer::{Answers, Assignment, EXPOSURE, Exposure, Names};
pub use asking::{MAY_ASK, MOST_FLAGS, context_fault, names, too_many_flags};
pub use taking::{Said, take};
