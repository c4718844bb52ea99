//! Slots for connections.
//!
//! A new connection always gets a slot, so that a probe never waits behind idle clients. A
//! connection that finds no free general slot gets a reserved slot. Where all reserved slots are
//! taken as well, the connection replaces the oldest connection of the address with the most
//! reserved slots.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use tokio::task::AbortHandle;

use super::serve::Limits;

/// The kind of a connection's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// For all paths.
    General,
    /// For probes and scrapers.
    Reserved,
}

/// The connections with a slot, oldest first.
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

    /// The kind of slot that a new connection from `address` gets.
    pub(super) fn pool_for(&mut self, address: IpAddr) -> Pool {
        self.general.retain(|(_, connection)| !connection.is_finished());
        let of_it = self.general.iter().filter(|(other, _)| *other == address).count();
        let free = self.general.len() < self.limits.general;
        if free && of_it < self.limits.of_one_address { Pool::General } else { Pool::Reserved }
    }

    /// Gives a slot to `connection`. Closes another connection where no slot is free.
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
        // The limit of one address leaves a general slot free; after the next connection, none is
        // free.
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
