//! The kernel's own list of sockets, as `/proc/net/tcp` and its neighbours
//! print it. `ss` and `netstat` read the same files, and images have neither.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A socket that waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    /// Where. An IPv4 address that was mapped into IPv6 is shown as what it is.
    pub at: SocketAddr,
    /// The user that it belongs to, as a number.
    pub user: u32,
}

impl Socket {
    /// Whether nobody but this machine reaches it.
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

/// Which of the kernel's tables a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `tcp` and `tcp6`.
    Tcp,
    /// `udp` and `udp6`.
    Udp,
}

impl Table {
    /// The state of a socket that waits: `LISTEN`, and for UDP that it is not
    /// connected to anybody.
    const fn waiting(self) -> &'static str {
        match self {
            Self::Tcp => "0A",
            Self::Udp => "07",
        }
    }
}

/// The sockets of a table that wait for others. Reads the tables of IPv4 and
/// IPv6, also one after the other; a line that is anything else is left out.
#[must_use]
pub fn listening(text: &str, table: Table) -> Vec<Socket> {
    let mut sockets: Vec<Socket> =
        listening_with_inode(text, table).into_iter().map(|(socket, _)| socket).collect();
    sockets.sort_unstable();
    sockets.dedup();
    sockets
}

/// The same, each with the number by which the kernel knows it.
#[must_use]
pub fn listening_with_inode(text: &str, table: Table) -> Vec<(Socket, u64)> {
    text.lines().filter_map(|line| socket(line, table.waiting())).collect()
}

/// `sl local_address rem_address st queues timer retransmits uid …`
fn socket(line: &str, waiting: &str) -> Option<(Socket, u64)> {
    let mut columns = line.split_ascii_whitespace();
    let (local, state) = (columns.nth(1)?, columns.nth(1)?);
    let user = columns.nth(3)?.parse().ok()?;
    let inode = columns.nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
    let (address, port) = local.split_once(':')?;
    let at = SocketAddr::new(address_of(address)?, u16::from_str_radix(port, 16).ok()?);
    (state == waiting).then_some((Socket { at, user }, inode))
}

/// Words of 32 bits, each printed as the number that a little-endian machine
/// takes it for: the bytes of each are the other way round.
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

/// The user of a process, as its `/proc/self/status` has it: as it is seen
/// where the sockets are seen, which with user namespaces is not as the host
/// sees it.
#[must_use]
pub fn user_of_status(text: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // Real, effective, saved, of the file system: files and sockets are made as the second.
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As 26.07 showed it, in a container, and a line of each thing that is not wanted.
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
    fn udp_has_a_state_of_its_own() {
        let line = "  1: 00000000:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000 995 0 1 2 0 0";
        assert_eq!(listening(line, Table::Udp).len(), 1);
        assert_eq!(listening(line, Table::Tcp), []);
    }

    #[test]
    fn anything_else_is_left_out() {
        for line in
            ["", "nothing", "a b c d", "0: 0100007F:XYZ 0:0 0A 0 0 0 5", "0: é:1 x 0A 0 0 0 5"]
        {
            assert_eq!(listening(line, Table::Tcp), [], "{line}");
        }
        let odd = "0: éééé:1466 0:0 0A 0:0 0:0 0 5 0";
        assert_eq!(listening(odd, Table::Tcp), [], "eight bytes, but no number");
    }

    #[test]
    fn the_user_is_the_effective_one() {
        assert_eq!(user_of_status("Name:\tbeam\nUid:\t0\t995\t995\t995\nGid:\t1\n"), Some(995));
        assert_eq!(user_of_status("Name:\tbeam\n"), None);
    }
}
