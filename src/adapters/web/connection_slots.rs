//! Slots that limit the number of connections.
//!
//! A new connection always gets a slot, so that a probe never waits for idle clients. If no general
//! slot is free, the connection gets a reserved slot. If no reserved slot is free either, the
//! operator closes a connection: the oldest connection of the address with the most reserved slots.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use tokio::task::AbortHandle;

use super::serve::Limits;

/// The kind of slot of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// A slot for all paths.
    General,
    /// A slot for probes and scrapers only.
    Reserved,
}

/// The connections with a slot of one kind, oldest first.
type Held = VecDeque<(IpAddr, AbortHandle)>;

pub(super) struct ConnectionSlots {
    limits: Limits,
    general: Held,
    reserved: Held,
}

impl ConnectionSlots {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, general: Held::new(), reserved: Held::new() }
    }

    /// Returns the kind of slot for a new connection from `address`.
    pub(super) fn pool_for(&mut self, address: IpAddr) -> Pool {
        self.general.retain(|(_, connection)| !connection.is_finished());
        let of_it = self.general.iter().filter(|(other, _)| *other == address).count();
        let free = self.general.len() < self.limits.general;
        if free && of_it < self.limits.of_one_address { Pool::General } else { Pool::Reserved }
    }

    /// Gives a slot to `connection`. Closes another connection if no reserved slot is free.
    pub(super) fn take(&mut self, pool: Pool, address: IpAddr, connection: AbortHandle) {
        match pool {
            Pool::General => self.general.push_back((address, connection)),
            Pool::Reserved => {
                self.reserved.retain(|(_, connection)| !connection.is_finished());
                while self.reserved.len() >= self.limits.reserved.max(1) {
                    self.close_oldest();
                }
                self.reserved.push_back((address, connection));
            }
        }
    }

    /// Closes the oldest reserved connection of the address with the most reserved slots.
    fn close_oldest(&mut self) {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (address, _) in &self.reserved {
            *counts.entry(*address).or_default() += 1;
        }
        let greediest = counts.into_iter().max_by_key(|(_, count)| *count);
        let oldest = greediest
            .and_then(|(address, _)| self.reserved.iter().position(|(of, _)| *of == address));
        if let Some((_, connection)) = oldest.and_then(|at| self.reserved.remove(at)) {
            connection.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_address_with_most_slots_loses_its_oldest_connection() {
        let limits = Limits { general: 3, of_one_address: 2, reserved: 3, ..Limits::default() };
        let mut slots = ConnectionSlots::new(limits);
        let [greedy, other]: [IpAddr; 2] =
            ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        let mut open = |address| {
            let task = tokio::spawn(std::future::pending::<()>());
            let pool = slots.pool_for(address);
            slots.take(pool, address, task.abort_handle());
            (pool, task)
        };
        let general = [open(greedy), open(greedy), open(greedy), open(other), open(other)];
        let pools = general.each_ref().map(|(pool, _)| *pool);
        let (general_one, reserved_one) = (Pool::General, Pool::Reserved);
        // The limit of one address leaves one general slot free. The connection of the other
        // address takes that slot.
        assert_eq!(pools, [general_one, general_one, reserved_one, general_one, reserved_one]);
        let more: Vec<_> = (0..5).map(|_| open(greedy).1).collect();
        tokio::task::yield_now().await;
        let ended: Vec<bool> = more.iter().map(tokio::task::JoinHandle::is_finished).collect();
        assert_eq!(ended, [true, true, true, false, false]);
        assert!(
            general[2].1.is_finished() && !general[4].1.is_finished(),
            "the connection of the other address stays"
        );
    }
}
