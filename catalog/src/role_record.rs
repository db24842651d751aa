//! The frozen forms of roles and of rights, as [`crate::record`] has those of tables: a field may be added only with a default,
//! anything else is a new format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::crawler_record::{decode, encode};
use crate::role::Membership;
use crate::{Acl, AclItem, AclKind, DefaultAcl, Error, Privileges, Result, RoleDefinition};

fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Serialize, Deserialize)]
struct RoleRecord {
    #[serde(default, skip_serializing_if = "is_false")]
    login: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    superuser: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    create_db: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    create_role: bool,
    inherit: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    replication: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    bypass_rls: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connection_limit: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_until_us: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verifier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    member_of: BTreeMap<String, MembershipRecord>,
}

#[derive(Serialize, Deserialize)]
struct MembershipRecord {
    #[serde(default, skip_serializing_if = "is_false")]
    admin: bool,
    grantor: String,
}

pub(crate) fn encode_role(role: &RoleDefinition) -> Result<String> {
    let role = role.clone();
    let record = RoleRecord {
        login: role.can_login,
        superuser: role.superuser,
        create_db: role.create_db,
        create_role: role.create_role,
        inherit: role.inherit,
        replication: role.replication,
        bypass_rls: role.bypass_rls,
        connection_limit: role.connection_limit,
        valid_until_us: role.valid_until_us,
        verifier: role.verifier,
        comment: role.comment,
        settings: role.settings,
        member_of: role
            .member_of
            .into_iter()
            .map(|(name, Membership { admin, grantor })| (name, MembershipRecord { admin, grantor }))
            .collect(),
    };
    encode("role", &record)
}

pub(crate) fn decode_role(text: &str) -> Result<RoleDefinition> {
    let record: RoleRecord = decode("role", text)?;
    Ok(RoleDefinition {
        can_login: record.login,
        superuser: record.superuser,
        create_db: record.create_db,
        create_role: record.create_role,
        inherit: record.inherit,
        replication: record.replication,
        bypass_rls: record.bypass_rls,
        connection_limit: record.connection_limit,
        valid_until_us: record.valid_until_us,
        verifier: record.verifier,
        comment: record.comment,
        settings: record.settings,
        member_of: record
            .member_of
            .into_iter()
            .map(|(name, MembershipRecord { admin, grantor })| (name, Membership { admin, grantor }))
            .collect(),
    })
}

#[derive(Serialize, Deserialize)]
struct AclRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<Vec<ItemRecord>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    defaults: Vec<DefaultRecord>,
}

/// Privileges are PostgreSQL's letters.
#[derive(Serialize, Deserialize)]
struct ItemRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    by: String,
    may: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    may_give: String,
}

#[derive(Serialize, Deserialize)]
struct DefaultRecord {
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    database: Option<i64>,
    kind: KindRecord,
    items: Vec<ItemRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindRecord {
    Lake,
    Database,
    Table,
}

fn item_record(item: &AclItem) -> ItemRecord {
    ItemRecord {
        to: item.grantee.clone(),
        by: item.grantor.clone(),
        may: item.privileges.letters(),
        may_give: item.grantable.letters(),
    }
}

fn item(record: ItemRecord) -> Result<AclItem> {
    let privileges = |letters: &str| {
        Privileges::from_letters(letters).ok_or_else(|| Error::Invalid {
            message: format!("rights cannot be read: privileges \"{letters}\""),
            hint: None,
        })
    };
    let (privileges, grantable) = (privileges(&record.may)?, privileges(&record.may_give)?);
    Ok(AclItem { grantee: record.to, grantor: record.by, privileges, grantable })
}

pub(crate) fn encode_acl(acl: &Acl) -> Result<String> {
    let record = AclRecord {
        owner: acl.owner.clone(),
        items: acl.items.as_ref().map(|items| items.iter().map(item_record).collect()),
        defaults: acl
            .defaults
            .iter()
            .map(|default| DefaultRecord {
                role: default.role.clone(),
                database: default.database,
                kind: match default.kind {
                    AclKind::Lake => KindRecord::Lake,
                    AclKind::Database => KindRecord::Database,
                    AclKind::Table => KindRecord::Table,
                },
                items: default.items.iter().map(item_record).collect(),
            })
            .collect(),
    };
    encode("rights", &record)
}

pub(crate) fn decode_acl(text: &str) -> Result<Acl> {
    let record: AclRecord = decode("rights", text)?;
    let items = |records: Vec<ItemRecord>| records.into_iter().map(item).collect::<Result<Vec<_>>>();
    Ok(Acl {
        owner: record.owner,
        items: record.items.map(items).transpose()?,
        defaults: record
            .defaults
            .into_iter()
            .map(|default| {
                Ok(DefaultAcl {
                    role: default.role,
                    database: default.database,
                    kind: match default.kind {
                        KindRecord::Lake => AclKind::Lake,
                        KindRecord::Database => AclKind::Database,
                        KindRecord::Table => AclKind::Table,
                    },
                    items: items(default.items)?,
                })
            })
            .collect::<Result<_>>()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Written by format 1. These texts may never change: they lie on users' disks.
    #[test]
    fn reads_what_format_1_wrote() {
        let role = r#"{"format":1,"login":true,"superuser":true,"create_db":true,"create_role":true,"inherit":false,"replication":true,"bypass_rls":true,"connection_limit":3,"valid_until_us":5,"verifier":"SCRAM-SHA-256$4096:a$b:c","comment":"x","settings":{"TimeZone":"UTC"},"member_of":{"staff":{"admin":true,"grantor":"limnos"}}}"#;
        assert_eq!(encode_role(&decode_role(role).unwrap()).unwrap(), role);
        let acl = r#"{"format":1,"owner":"ann","items":[{"by":"ann","may":"r"},{"to":"bob","by":"ann","may":"ar","may_give":"r"}],"defaults":[{"role":"ann","database":2,"kind":"table","items":[{"to":"bob","by":"ann","may":"r"}]}]}"#;
        assert_eq!(encode_acl(&decode_acl(acl).unwrap()).unwrap(), acl);
        assert!(decode_acl(r#"{"format":1,"items":[{"by":"ann","may":"?"}]}"#).is_err());
    }
}
