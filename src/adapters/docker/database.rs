//! Locates the server's database, and checks whether a new container would find the database.

use std::collections::BTreeMap;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, Mount, MountType,
};
use bollard::query_parameters as query;

use super::create::{Layout, is_within};
use super::{DockerRuntime, create, status};
use crate::domain::database::{Database, Location, SCHEMA_FILE};
use crate::engine::RuntimeError;

/// The maximum number of steps to resolve a path. A real path has fewer parts and links; the limit
/// ends a loop of links.
const MAX_STEPS: usize = 64;

impl DockerRuntime {
    /// The location of `directory` in the container; `None` if the container does not exist.
    pub(super) async fn location_of(
        &self,
        directory: &str,
    ) -> Result<Option<Location>, RuntimeError> {
        let Some(container) = self.container().await? else { return Ok(None) };
        self.location_of_its(&container, directory).await.map(Some)
    }

    /// The location of `directory` in an inspected container. The result is cached: mounts do not
    /// change while a container exists.
    pub(super) async fn location_of_its(
        &self,
        container: &ContainerInspectResponse,
        directory: &str,
    ) -> Result<Location, RuntimeError> {
        let id = container.id.clone().unwrap_or_default();
        {
            let located = self.located.lock();
            if let Some((of, path, location)) = located.as_ref()
                && *of == id
                && path == directory
            {
                return Ok(location.clone());
            }
        }
        let mounts = mounts_of(container);
        let location = self.location_in(self.name(), &mounts, directory).await?;
        *self.located.lock() = Some((id, directory.to_owned(), location.clone()));
        Ok(location)
    }

    /// The reason why a container that is created from the declaration would not have the database
    /// in `directory`; `None` if the container would have the database.
    pub(super) async fn not_attached(
        &self,
        container: &ContainerInspectResponse,
        directory: &str,
    ) -> Result<Option<String>, RuntimeError> {
        let location = self.location_of_its(container, directory).await?;
        let Location::Volume { name, within } = &location else {
            return Ok(Some(elsewhere(&location)));
        };
        // An undeclared volume is named after the container.
        let config = container.config.clone().unwrap_or_default();
        let env = config.env.unwrap_or_default();
        let layout = Layout::new(&env, config.working_dir.as_deref(), config.volumes.as_deref());
        let planned = on_volumes(&create::volumes(&self.spec, &layout));
        let then = self.location_in(self.name(), &planned, directory).await?;
        Ok((then != location).then(|| {
            format!(
                "its database is on {location}, which a new container would not get; declare \
                 `{}: {name}` under spec.server.docker.volumes",
                mount_path(directory, within)
            )
        }))
    }

    /// The location of `directory` in `container`, with these `mounts`. Resolves links before it
    /// compares paths: `/home` may be a link to `/opt`, and the engine resolves the path of a mount
    /// as well.
    pub(super) async fn location_in(
        &self,
        container: &str,
        mounts: &BTreeMap<String, Location>,
        directory: &str,
    ) -> Result<Location, RuntimeError> {
        let directory = self.resolved(container, directory).await?;
        let mut resolved = BTreeMap::new();
        for (path, location) in mounts {
            resolved.insert(self.resolved(container, path).await?, location.clone());
        }
        Ok(covering(&resolved, &directory))
    }

    /// The path `path` in `container`, with its links resolved. A part that does not exist stays
    /// unchanged.
    pub(super) async fn resolved(
        &self,
        container: &str,
        path: &str,
    ) -> Result<String, RuntimeError> {
        let mut left: Vec<String> = parts(path).rev().map(str::to_owned).collect();
        let mut done = String::new();
        let mut steps = 0;
        while let Some(part) = left.pop() {
            let here = format!("{done}/{part}");
            steps += 1;
            match self.link_target(container, &here).await? {
                Some(target) if steps < MAX_STEPS => {
                    left.extend(parts(&target).rev().map(str::to_owned));
                    done.clear();
                }
                _ => done = here,
            }
        }
        Ok(if done.is_empty() { "/".to_owned() } else { done })
    }

    /// The absolute path that the link at `path` points to; `None` if there is no link at `path`.
    async fn link_target(
        &self,
        container: &str,
        path: &str,
    ) -> Result<Option<String>, RuntimeError> {
        let options = query::ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        match self.client().await?.get_container_archive_info(container, Some(options)).await {
            Ok(found) => Ok(Some(found.link_target).filter(|target| {
                // The engine returns an absolute path in which links are resolved.
                target.starts_with('/') && target != path
            })),
            Err(e) if status(&e) == Some(404) => Ok(None),
            Err(e) => Err(self.error("look for a file in", &e)),
        }
    }

    /// The reason why a container that is created from the declaration would not have the `known`
    /// database, or any database if `known` is `None`. Returns `None` if the container would have
    /// the database.
    pub(super) async fn lost_by_creation(
        &self,
        known: Option<&Database>,
    ) -> Result<Option<String>, RuntimeError> {
        let image = self.image().await?.config.unwrap_or_default();
        let layout = Layout::of_new(&self.spec, &image);
        let planned = on_volumes(&create::volumes(&self.spec, &layout));
        let then = covering(&planned, &layout.database);
        let Location::Volume { name: volume, within } = &then else {
            return Ok(Some(format!("no volume is declared for {}", layout.database)));
        };
        match known.and_then(|known| known.location.as_ref()) {
            // The volume is the same, so check the files on the volume below.
            Some(Location::Volume { name, .. }) if name == volume => {}
            Some(location @ Location::Volume { name, within }) => {
                return Ok(Some(format!(
                    "its database is on {location}, and a new container would keep it on {then}; \
                     declare `{}: {name}` under spec.server.docker.volumes",
                    mount_path(&layout.database, within)
                )));
            }
            Some(location) => return Ok(Some(elsewhere(location))),
            None => {}
        }
        match self.client().await?.inspect_volume(volume).await {
            Ok(_) => {}
            Err(e) if status(&e) == Some(404) => {
                return Ok(Some(format!("the volume {volume} is gone")));
            }
            Err(e) => return Err(self.error("inspect a volume of", &e)),
        }
        let path = mount_path(&layout.database, within);
        let mounts = BTreeMap::from([(path.to_owned(), Location::whole_volume(volume))]);
        let temporary = self.create_viewer(volume, path).await?;
        let found = self.found_in(&temporary, &mounts, &layout.database, known).await;
        self.remove_temporary_container(&temporary).await;
        found
    }

    /// Creates a temporary container with `volume` at `path`, and returns its name. The container
    /// is never started: the engine can read the files of a stopped container.
    async fn create_viewer(&self, volume: &str, path: &str) -> Result<String, RuntimeError> {
        let mount = Mount {
            target: Some(path.to_owned()),
            source: Some(volume.to_owned()),
            typ: Some(MountType::VOLUME),
            read_only: Some(true),
            ..Default::default()
        };
        let body = ContainerCreateBody {
            image: self.image().await?.id,
            network_disabled: Some(true),
            host_config: Some(HostConfig { mounts: Some(vec![mount]), ..Default::default() }),
            ..Default::default()
        };
        self.create_temporary_container(body).await
    }

    async fn found_in(
        &self,
        temporary: &str,
        mounts: &BTreeMap<String, Location>,
        directory: &str,
        known: Option<&Database>,
    ) -> Result<Option<String>, RuntimeError> {
        let location = self.location_in(temporary, mounts, directory).await?;
        if let Some(before) = known.and_then(|known| known.location.as_ref())
            && *before != location
        {
            return Ok(Some(format!(
                "its database is {before}, and a new container would look for it in {location}"
            )));
        }
        let schema = self.download(temporary, &format!("{directory}/{SCHEMA_FILE}")).await?;
        Ok(match (schema, known) {
            (None, _) => Some(format!("there is no database on {location}")),
            (Some(file), Some(known)) if !known.cookie.is_in(&file.content) => {
                Some(format!("there is another database on {location}"))
            }
            _ => None,
        })
    }
}

fn elsewhere(location: &Location) -> String {
    format!("its database is in {location}, which a new container does not get")
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

/// The locations of a container's mounts, by mount path.
pub(super) fn mounts_of(container: &ContainerInspectResponse) -> BTreeMap<String, Location> {
    let of_mount = container.mounts.iter().flatten().filter_map(|mount| {
        let location = match mount.typ.as_deref() {
            Some("volume") => Location::whole_volume(mount.name.as_deref()?),
            Some("bind") => Location::Host(mount.source.clone()?),
            Some("tmpfs") => Location::Memory,
            _ => return None,
        };
        Some((mount.destination.clone()?, location))
    });
    let tmpfs = container.host_config.as_ref().and_then(|host| host.tmpfs.as_ref());
    let in_memory = tmpfs.into_iter().flatten().map(|(path, _)| (path.clone(), Location::Memory));
    of_mount.chain(in_memory).collect()
}

/// The locations of a container's volumes by mount path.
fn on_volumes(volumes: &BTreeMap<String, String>) -> BTreeMap<String, Location> {
    volumes.iter().map(|(path, name)| (path.clone(), Location::whole_volume(name))).collect()
}

/// The path at which to mount a volume so that its subdirectory `within` is at `directory`.
fn mount_path<'d>(directory: &'d str, within: &str) -> &'d str {
    directory.strip_suffix(within).map_or(directory, |path| path.trim_end_matches('/'))
}

/// The location of `directory`: in the nearest mount above `directory`, otherwise in the container.
pub(super) fn covering(mounts: &BTreeMap<String, Location>, directory: &str) -> Location {
    let within = |path: &str| {
        let rest = directory.strip_prefix(path.trim_end_matches('/'))?;
        is_within(directory, path).then(|| rest.trim_matches('/').to_owned())
    };
    let above = mounts
        .iter()
        .filter_map(|(path, location)| within(path).map(|within| (path.len(), location, within)));
    match above.max_by_key(|(length, ..)| *length) {
        Some((_, Location::Volume { name, .. }, within)) => {
            Location::Volume { name: name.clone(), within }
        }
        Some((_, Location::Host(path), within)) if !within.is_empty() => {
            Location::Host(format!("{}/{within}", path.trim_end_matches('/')))
        }
        Some((_, location, _)) => location.clone(),
        None => Location::Container,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_above_a_directory_stores_the_directory() {
        let volume = |name: &str, within: &str| Location::Volume {
            name: name.to_owned(),
            within: within.to_owned(),
        };
        let mounts = BTreeMap::from([
            ("/opt/ejabberd".to_owned(), volume("all", "")),
            ("/opt/ejabberd/upload".to_owned(), Location::Host("/srv/upload".to_owned())),
            ("/opt/ejabberd/run".to_owned(), Location::Memory),
        ]);
        assert_eq!(covering(&mounts, "/opt/ejabberd/database"), volume("all", "database"));
        assert_eq!(covering(&mounts, "/opt/ejabberd"), volume("all", ""));
        let within = Location::Host("/srv/upload/a/b".to_owned());
        assert_eq!(covering(&mounts, "/opt/ejabberd/upload/a/b"), within);
        assert_eq!(covering(&mounts, "/opt/ejabberd/run"), Location::Memory);
        // `/opt/ejabberd-26` begins with the path of a mount, but is outside of the mount.
        assert_eq!(covering(&mounts, "/opt/ejabberd-26/database"), Location::Container);
        let everything = BTreeMap::from([("/".to_owned(), Location::Host("/srv".to_owned()))]);
        assert_eq!(covering(&everything, "/home/x"), Location::Host("/srv/home/x".to_owned()));
    }
}
