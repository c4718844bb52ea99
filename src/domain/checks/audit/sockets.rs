//! Parses the kernel's tables of sockets, such as `/proc/net/tcp`. `ss` and `netstat` read the same
//! files, but the images contain neither program.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    /// The address and port. This field holds an IPv4 address that is mapped into IPv6 as the IPv4
    /// address.
    pub at: SocketAddr,
    /// The numeric id of the user that owns the socket.
    pub user: u32,
}

impl Socket {
    /// Whether only this host can connect to the socket.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.at.ip().is_loopback()
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(f)
    }
}

/// The protocol of a table of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// The tables `tcp` and `tcp6`.
    Tcp,
    /// The tables `udp` and `udp6`.
    Udp,
}

impl Table {
    /// Returns the code in the table for a listening socket: the state `LISTEN` for TCP,
    /// unconnected for UDP.
    const fn listening_state(self) -> &'static str {
        match self {
            Self::Tcp => "0A",
            Self::Udp => "07",
        }
    }
}

/// Returns the listening sockets of a table, sorted and without duplicates. `text` may contain the
/// tables of IPv4 and IPv6 one after the other. Skips lines that are no listening socket.
#[must_use]
pub fn listening(text: &str, table: Table) -> Vec<Socket> {
    let mut sockets: Vec<Socket> =
        listening_with_inode(text, table).into_iter().map(|(socket, _)| socket).collect();
    sockets.sort_unstable();
    sockets.dedup();
    sockets
}

/// Returns the listening sockets of a table, each with the inode of the socket.
#[must_use]
pub fn listening_with_inode(text: &str, table: Table) -> Vec<(Socket, u64)> {
    text.lines().filter_map(|line| socket(line, table.listening_state())).collect()
}

/// Parses the socket and the inode in a line `sl local_address rem_address st queues timer
/// retransmits uid …`; `None` if the socket has another state, or if the line is not such a line.
fn socket(line: &str, listening_state: &str) -> Option<(Socket, u64)> {
    let mut columns = line.split_ascii_whitespace();
    let (local, state) = (columns.nth(1)?, columns.nth(1)?);
    let user = columns.nth(3)?.parse().ok()?;
    let inode = columns.nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
    let (address, port) = local.split_once(':')?;
    let at = SocketAddr::new(address_of(address)?, u16::from_str_radix(port, 16).ok()?);
    (state == listening_state).then_some((Socket { at, user }, inode))
}

/// Parses an address in hexadecimal digits; `None` if `hex` is not an address. The kernel prints
/// each 32-bit word as a little-endian number, so the bytes of each word are in reverse order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        u32::from_str_radix(hex.get(at * 8..(at + 1) * 8)?, 16).ok().map(u32::to_le_bytes)
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (n, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(n)?);
            }
            Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

/// Returns the effective user id in the content of `/proc/self/status`; `None` if the content has
/// no such id. With user namespaces, this id differs from the id on the host, but matches the
/// owners in the socket tables of the same namespace.
#[must_use]
pub fn user_of_status(text: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // The columns are the real, effective, saved and file system id. A new socket gets the
    // effective id, which is the second column.
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of a container with ejabberd 26.07, with a line for each kind of socket that
    /// `listening` skips.
    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     
   0: 00000000:1111 00000000:0000 0A 00000000:00000000 00:00000000 00000000   995        0 64672 1 00000000e8ae8f1f 100 0 0 10 0                     
   1: 0100007F:955D 00000000:0000 0A 00000000:00000000 00:00000000 00000000   995        0 65570 1 0000000080ea0058 100 0 0 10 0                     
   2: 0100007F:C0C8 0100007F:1111 01 00000000:00000000 00:00000000 00000000   995        0 65571 1 000000004535b8b6 20 4 30 11 -1                    
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   1: 00000000000000000000000000000000:1466 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 65584 1 0 100 0 0 10 0
   2: 00000000000000000000000001000000:1467 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   995        0 65585 1 0 100 0 0 10 0
   3: 0000000000000000FFFF00000100007F:14A0 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   995        0 65588 1 0 100 0 0 10 0
   4: B80D0120000000000000000001000000:1495 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   995        0 65586 1 0 100 0 0 10 0
";

    #[test]
    fn sockets_are_read_with_address_port_and_owner() {
        let shown: Vec<String> = listening(&format!("{TCP}{TCP6}"), Table::Tcp)
            .iter()
            .map(|s| format!("{s} {} {}", s.user, if s.is_local() { "local" } else { "open" }))
            .collect();
        assert_eq!(
            shown,
            [
                "0.0.0.0:4369 995 open",
                "127.0.0.1:5280 995 local",
                "127.0.0.1:38237 995 local",
                "[::]:5222 0 open",
                "[::1]:5223 995 local",
                "[2001:db8::1]:5269 995 open",
            ]
        );
    }

    #[test]
    fn udp_and_tcp_have_different_listening_states() {
        let line = "  1: 00000000:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000 995 0 1 2 0 0";
        assert_eq!(listening(line, Table::Udp).len(), 1);
        assert_eq!(listening(line, Table::Tcp), []);
    }

    #[test]
    fn lines_without_a_valid_address_are_skipped() {
        for line in
            ["", "nothing", "a b c d", "0: 0100007F:XYZ 0:0 0A 0 0 0 5", "0: é:1 x 0A 0 0 0 5"]
        {
            assert_eq!(listening(line, Table::Tcp), [], "{line}");
        }
        let odd = "0: éééé:1466 0:0 0A 0:0 0:0 0 5 0";
        assert_eq!(listening(odd, Table::Tcp), [], "eight bytes, but no number");
    }

    #[test]
    fn the_effective_user_id_is_read_from_the_status() {
        assert_eq!(user_of_status("Name:\tbeam\nUid:\t0\t995\t995\t995\nGid:\t1\n"), Some(995));
        assert_eq!(user_of_status("Name:\tbeam\n"), None);
    }
}
