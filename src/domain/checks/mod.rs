//! Judging evidence: the security checklist, and what may be wrong with a server.

pub mod audit;
pub mod doctor;
