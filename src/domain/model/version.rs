//! The versions of ejabberd, and the version of the command API that each version of ejabberd
//! supports.

use std::fmt;

/// A released version: year and month, e.g. 24.12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion {
    /// The last two digits of the year.
    pub year: u16,
    /// The month of the release.
    pub month: u16,
}

/// The version of ejabberd's command API (`ejabberd_commands`), pinned in every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion(pub u8);

impl ServerVersion {
    /// Reads the number at the start of a version that ejabberd prints, e.g. `24.12-3+b1` or
    /// `26.7.0`. `None` if the text does not begin with a version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |s: &str| -> Option<u16> {
            let end = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
            s.get(..end)?.parse().ok()
        };
        let (year, rest) = text.trim().split_once('.')?;
        Some(Self { year: digits(year)?, month: digits(rest)? })
    }

    /// The highest API version that the server and this program both support. This program supports
    /// the API versions 0 to 3.
    ///
    /// Source: the release notes of ejabberd 24.02, 24.06 and 24.12, which each add one version.
    #[must_use]
    pub fn api(self) -> ApiVersion {
        ApiVersion(match (self.year, self.month) {
            v if v >= (24, 12) => 3,
            v if v >= (24, 6) => 2,
            v if v >= (24, 2) => 1,
            _ => 0,
        })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_give_their_api() {
        for (text, shown, api) in [
            ("23.01-1", "23.01", 0),
            ("24.02", "24.02", 1),
            ("24.7", "24.07", 2),
            ("24.12-3+b1", "24.12", 3),
            ("26.7.0", "26.07", 3),
        ] {
            let version = ServerVersion::parse(text).unwrap();
            assert_eq!((version.to_string().as_str(), version.api()), (shown, ApiVersion(api)));
        }
        assert_eq!(ServerVersion::parse("next"), None);
    }
}
