//! Finds the programs that listen on ports of this host, as `ss -tlnp` does.

use std::fs;
use std::net::SocketAddr;

use crate::domain::checks::audit::{Table, listening_with_inode};
use crate::domain::observed::Holder;

/// The maximum number of descriptors of one process, and the maximum number of processes, that the
/// operator searches.
const MOST_DESCRIPTORS: usize = 4096;
const MOST_PROCESSES: usize = 20_000;

/// Returns the sockets that listen on one of `ports`. `is_own` returns whether the process at an
/// address belongs to the server or forwards to the server.
pub(in crate::adapters) fn of(
    ports: &[u16],
    is_own: impl Fn(i32, SocketAddr) -> bool,
) -> Vec<Holder> {
    let mut tables = String::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        // Ignore the error: the second table is missing on a host without IPv6. Use
        // `/proc/self/net`, because `/proc/net` is hidden from a systemd unit with
        // `ProcSubset=pid`.
        tables += &fs::read_to_string(table).unwrap_or_default();
    }
    let sockets = listening_with_inode(&tables, Table::Tcp);
    let wanted: Vec<_> =
        sockets.into_iter().filter(|(socket, _)| ports.contains(&socket.at.port())).collect();
    let inodes: Vec<u64> = wanted.iter().map(|(_, inode)| *inode).collect();
    let owners = owners(&inodes);
    let holders = wanted.iter().map(|(socket, inode)| {
        let pid = owners.iter().find(|(of, _)| of == inode).map(|(_, pid)| *pid);
        let at: SocketAddr = socket.at;
        Holder {
            at,
            user: socket.user,
            program: pid.and_then(|pid| Some((name(pid)?, pid))),
            // The pid is 0 if it is unknown, because only root can read the processes of other
            // users. `is_own` can then decide by the address.
            own: is_own(pid.unwrap_or_default(), at),
        }
    });
    holders.collect()
}

/// Returns pairs of an inode and the process that has this socket open. Only root can find the
/// processes of other users.
fn owners(inodes: &[u64]) -> Vec<(u64, i32)> {
    let mut found = Vec::new();
    if inodes.is_empty() {
        return found;
    }
    let Ok(entries) = fs::read_dir("/proc") else { return found };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for pid in pids.take(MOST_PROCESSES) {
        let pid: i32 = pid;
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for descriptor in descriptors.flatten().take(MOST_DESCRIPTORS) {
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let inode = target.to_str().and_then(|text| {
                text.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
            });
            if let Some(inode) = inode.filter(|inode| inodes.contains(inode)) {
                found.push((inode, pid));
            }
        }
        if found.len() >= inodes.len() {
            break;
        }
    }
    found
}

fn name(pid: i32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().chars().filter(|c| !c.is_control()).take(40).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_port_is_found_with_its_program() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let us = i32::try_from(std::process::id()).unwrap();
        let holders = of(&[at.port()], |pid, _| pid == us);
        let [holder] = holders.as_slice() else { panic!("{holders:?}") };
        assert_eq!(holder.at, at);
        assert_eq!(holder.program.as_ref().unwrap().1, us);
        assert!(holder.own);
        drop(socket);
        assert_eq!(of(&[at.port()], |_, _| false), []);
    }
}
