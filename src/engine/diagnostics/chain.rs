//! Collects the evidence about the chain from nginx to the operator: the clients of messaging with
//! their tokens, and the routes of nginx.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;

use super::Diagnostics;
use super::audit::PART_DEADLINE;
use super::collect::within;
use crate::domain::checks::audit::{ClientEvidence, TokenEvidence};
use crate::domain::messaging::token::TokenDigest;
use crate::domain::model::Secret;
use crate::domain::nginx::{Route, routes};
use crate::domain::observed::Reading;
use crate::domain::spec::{ClientName, DesiredState, MessagingClient, SecretSource};

impl Diagnostics {
    /// The routes of nginx; `None` if this host has no nginx.
    pub(super) async fn nginx(&self) -> Reading<Option<Vec<Route>>> {
        within(PART_DEADLINE, async {
            let directives = self.proxy.directives().await?;
            Ok(directives.map(|directives| routes(&directives)))
        })
        .await
    }

    /// The declared clients, with the properties of their tokens.
    pub(super) async fn clients(&self, desired: &DesiredState) -> Vec<ClientEvidence> {
        let clients = desired.messaging.as_ref().map_or(&[][..], |messaging| &messaging.clients);
        let tokens = join_all(clients.iter().map(|client| self.token(client))).await;
        let mut owners: HashMap<TokenDigest, &ClientName> = HashMap::new();
        let mut found = Vec::new();
        for (client, token) in clients.iter().zip(tokens) {
            let token = match token {
                Reading::Unknown(why) => Reading::Unknown(why),
                Reading::Known((digest, token)) => {
                    let shared_with = owners.get(&digest).map(ToString::to_string);
                    owners.entry(digest).or_insert(&client.name);
                    Reading::Known(TokenEvidence { shared_with, ..token })
                }
            };
            let (name, act_as) = (client.name.to_string(), client.act_as.clone());
            found.push(ClientEvidence { name, act_as, token });
        }
        found
    }

    async fn token(&self, client: &MessagingClient) -> Reading<(TokenDigest, TokenEvidence)> {
        within(PART_DEADLINE, async {
            let source = &client.token_from;
            let failed = |error| format!("failed to {error}");
            let token = self.secrets.read(source).await.map_err(failed)?;
            let exposure = match source {
                SecretSource::File(path) => self.secrets.exposure(path).await.map_err(failed)?,
                _ => None,
            };
            Ok((TokenDigest::of(&token), properties(&token, exposure)))
        })
        .await
    }
}

fn properties(token: &Secret, exposure: Option<String>) -> TokenEvidence {
    let text = token.expose().trim();
    TokenEvidence {
        length: text.chars().count(),
        different: text.chars().collect::<BTreeSet<_>>().len(),
        shared_with: None,
        exposure,
    }
}
