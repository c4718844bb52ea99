//! The free space on a disk of this host.

use std::path::Path;

use rustix::fs::statvfs;

use crate::domain::observed::Space;

/// Returns the free space on the disk of `path`. If `path` does not exist, the function uses the
/// nearest existing parent directory. `None` if the system reports no space.
pub(crate) fn of(what: &str, path: &Path) -> Option<Space> {
    let found = path.ancestors().find_map(|directory| statvfs(directory).ok())?;
    Some(Space {
        what: what.to_owned(),
        path: path.display().to_string(),
        free: found.f_bavail.saturating_mul(found.f_frsize),
        total: found.f_blocks.saturating_mul(found.f_frsize),
        // Some file systems do not count inodes.
        no_inodes: found.f_files > 0 && found.f_favail == 0,
    })
}

/// Parses the output of `df -Pk` for `directories`, which are pairs of a description and a path.
pub(in crate::adapters) fn of_df(text: &str, directories: &[(&str, String)]) -> Vec<Space> {
    let rows = text.lines().skip(1).zip(directories);
    let spaces = rows.filter_map(|(line, (what, path))| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        // The name of the disk may contain blanks, so count the columns from the column with `%`.
        let at = columns.iter().position(|word| word.ends_with('%'))?;
        let kib = |back: usize| columns.get(at.checked_sub(back)?)?.parse::<u64>().ok();
        Some(Space {
            what: (*what).to_owned(),
            path: path.clone(),
            free: kib(1)?.saturating_mul(1024),
            total: kib(3)?.saturating_mul(1024),
            no_inodes: false,
        })
    });
    spaces.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_for_a_missing_path_is_the_space_of_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        let space = of("it", &dir.path().join("not/yet")).unwrap();
        assert!(space.total > 0 && space.free <= space.total, "{space:?}");
        assert!(space.path.ends_with("not/yet") && !space.no_inodes);
    }

    #[test]
    fn the_output_of_df_is_parsed() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                    overlay 1000 400 600 40% /\nmy disk 100 100 0 100% /home/x y\n";
        let directories = [("the database", "/a".to_owned()), ("the logs", "/b".to_owned())];
        let spaces = of_df(text, &directories);
        assert_eq!((spaces[0].free, spaces[0].total), (600 * 1024, 1000 * 1024));
        assert_eq!((spaces[1].free, spaces[1].path.as_str()), (0, "/b"));
        assert_eq!(of_df("df: /a: no such file\n", &directories), []);
    }
}
