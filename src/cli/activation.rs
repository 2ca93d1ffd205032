//! Sockets that systemd, or another parent, opened before this process and keeps after it: a
//! restart then refuses nobody.

use std::net::TcpListener;

use larder::Sockets;
use listenfd::ListenFd;

use super::end::{Ending, Exit};

/// The name of each socket, where they have names (`FileDescriptorName=` in a unit).
const NAMES: &str = "LISTEN_FDNAMES";

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Peer,
    Api,
}

/// The sockets that this process was started with.
pub(super) fn sockets() -> Result<Sockets, Ending> {
    let names = std::env::var(NAMES).unwrap_or_default();
    let mut given = ListenFd::from_env();
    let mut sockets = Sockets::default();
    for (index, role) in roles(given.len(), &names)?.into_iter().enumerate() {
        let socket = given.take_tcp_listener(index).map_err(|error| {
            bad(&format!("socket {index} of LISTEN_FDS cannot be listened on: {error}"))
        })?;
        let place: &mut Option<TcpListener> = match role {
            Role::Peer => &mut sockets.peer,
            Role::Api => &mut sockets.api,
        };
        *place = socket;
    }
    Ok(sockets)
}

/// What each of so many sockets is for: what its name says, or else its place.
fn roles(count: usize, names: &str) -> Result<Vec<Role>, Ending> {
    let names: Vec<&str> = names.split(':').take(count).collect();
    let named = |name: &&str| match *name {
        "peer" => Some(Role::Peer),
        "api" => Some(Role::Api),
        _ => None,
    };
    // systemd names those that have no name after their unit.
    let roles: Option<Vec<Role>> = match names.iter().any(|name| named(name).is_some()) {
        true => names.iter().map(named).collect(),
        false => [Some(Role::Peer), Some(Role::Api), None].into_iter().take(count).collect(),
    };
    let once = |roles: &[Role], role| roles.iter().filter(|given| **given == role).count() <= 1;
    match roles {
        Some(roles)
            if roles.len() == count && once(&roles, Role::Peer) && once(&roles, Role::Api) =>
        {
            Ok(roles)
        }
        _ => Err(bad(&format!(
            "{count} sockets in LISTEN_FDS, and {NAMES} is {names:?}: give one for peers and one \
             for clients at most, in this order or named \"peer\" and \"api\""
        ))),
    }
}

fn bad(message: &str) -> Ending {
    Ending::new(Exit::BadConfig, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_before_a_place() {
        for (count, names, expected) in [
            (0, "", &[][..]),
            (1, "", &[Role::Peer]),
            (2, "", &[Role::Peer, Role::Api]),
            (2, "larder.socket:larder.socket", &[Role::Peer, Role::Api]),
            (1, "api", &[Role::Api]),
            (2, "api:peer", &[Role::Api, Role::Peer]),
        ] {
            assert_eq!(roles(count, names).unwrap(), expected, "{names}");
        }
        for (count, names) in [(3, ""), (2, "peer:peer"), (2, "api:other"), (3, "api:peer:api")] {
            assert!(roles(count, names).is_err(), "{count} {names}");
        }
    }
}
