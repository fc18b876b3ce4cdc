//! What is published is kept: the protos of today against the descriptors of the last published ones, `schemas/proto/evenhand.binpb`.
//!
//! A client that was built against those keeps working: no method, message, enum or field goes away, changes its number, name, type or label.
//! New ones may come. (The rules of `buf breaking`, WIRE and FILE, as far as our protos use what they speak of.)

use std::collections::BTreeMap;

use prost::Message;
use prost_types::field_descriptor_proto::Label;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

const PUBLISHED: &[u8] = include_bytes!("../../../schemas/proto/evenhand.binpb");
const PACKAGE: &str = "evenhand.v1";

/// Everything a client may rely on: name → what it is.
type Facts = BTreeMap<String, String>;

fn facts(set: &FileDescriptorSet) -> Facts {
    let mut facts = Facts::new();
    for file in set.file.iter().filter(|file| file.package() == PACKAGE) {
        for message in &file.message_type {
            message_facts(PACKAGE, message, &mut facts);
        }
        for one in &file.enum_type {
            enum_facts(PACKAGE, one, &mut facts);
        }
        for service in &file.service {
            for method in &service.method {
                let stream = |streams: bool| if streams { "stream " } else { "" };
                let (asked, answered) = (stream(method.client_streaming()), stream(method.server_streaming()));
                facts.insert(
                    format!("method {PACKAGE}.{}/{}", service.name(), method.name()),
                    format!("{asked}{} → {answered}{}", method.input_type(), method.output_type()),
                );
            }
        }
    }
    facts
}

fn message_facts(scope: &str, message: &DescriptorProto, facts: &mut Facts) {
    let name = format!("{scope}.{}", message.name());
    facts.insert(format!("message {name}"), String::new());
    for field in &message.field {
        let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
        let oneof = oneof
            .and_then(|at| message.oneof_decl.get(at as usize))
            .map(|oneof| oneof.name().to_owned());
        let label = match (field.label(), field.proto3_optional()) {
            (Label::Repeated, _) => "repeated",
            (_, true) => "optional",
            _ => "singular",
        };
        // By number: that is what stands on the wire.
        facts.insert(
            format!("field {name} = {}", field.number()),
            format!(
                "{} {label} {:?} {} {oneof:?}",
                field.name(),
                field.r#type(),
                field.type_name()
            ),
        );
    }
    for nested in &message.nested_type {
        message_facts(&name, nested, facts);
    }
    for nested in &message.enum_type {
        enum_facts(&name, nested, facts);
    }
}

fn enum_facts(scope: &str, one: &EnumDescriptorProto, facts: &mut Facts) {
    for value in &one.value {
        let name = format!("value {scope}.{} = {}", one.name(), value.number());
        facts.insert(name, value.name().to_owned());
    }
}

/// What a client of `before` misses in `now`.
fn broken(before: &Facts, now: &Facts) -> Vec<String> {
    let fault = |(name, was): (&String, &String)| match now.get(name) {
        None => Some(format!("{name} ({was}) is gone")),
        Some(is) if is != was => Some(format!("{name} was: {was}; is: {is}")),
        Some(_) => None,
    };
    before.iter().filter_map(fault).collect()
}

fn read(bytes: &[u8]) -> FileDescriptorSet {
    FileDescriptorSet::decode(bytes).expect("a descriptor set, written by evenhand-protocol-generate")
}

#[test]
fn clients_of_the_published_protocol_keep_working() {
    let before = facts(&read(PUBLISHED));
    assert!(
        before.len() > 80,
        "the published descriptors are read: {}",
        before.len()
    );
    let faults = broken(&before, &facts(&read(evenhand_protocol::DESCRIPTORS)));
    assert!(
        faults.is_empty(),
        "keep what is published, or make a package evenhand.v2:\n{}",
        faults.join("\n")
    );
}

/// The comparison itself: each kind of break is found in a copy that has it.
#[test]
fn every_kind_of_break_is_found() {
    type Break = (&'static str, fn(&mut FileDescriptorSet));
    let breaks: [Break; 9] = [
        ("is gone", |set| drop(message(set, "GetRequest").field.pop())),
        ("is gone", |set| message(set, "GetRequest").field[0].number = Some(77)),
        ("is:", |set| {
            message(set, "GetRequest").field[1].name = Some("flag_key".into())
        }),
        ("is:", |set| message(set, "Exposure").field[3].r#type = Some(3)),
        ("is:", |set| message(set, "BatchGetRequest").field[1].label = Some(1)),
        ("is:", |set| message(set, "Attribute").field[0].oneof_index = None),
        ("is gone", |set| assignment(set).service[0].method.truncate(2)),
        ("is:", |set| {
            assignment(set).service[0].method[2].server_streaming = None
        }),
        ("is:", |set| {
            assignment(set).enum_type[0].value[3].name = Some("REASON_LOST".into())
        }),
    ];
    let whole = read(evenhand_protocol::DESCRIPTORS);
    for (index, (words, change)) in breaks.iter().enumerate() {
        let mut changed = whole.clone();
        change(&mut changed);
        let faults = broken(&facts(&whole), &facts(&changed));
        assert!(
            faults.iter().any(|fault| fault.contains(words)),
            "break {index}: {faults:?}"
        );
    }
    let mut more = whole.clone();
    let mut field = message(&mut more, "GetRequest").field[1].clone();
    (field.number, field.name) = (Some(3), Some("hint".into()));
    message(&mut more, "GetRequest").field.push(field);
    assert!(
        broken(&facts(&whole), &facts(&more)).is_empty(),
        "a new field breaks nobody"
    );
}

fn assignment(set: &mut FileDescriptorSet) -> &mut prost_types::FileDescriptorProto {
    set.file
        .iter_mut()
        .find(|file| file.name().ends_with("assignment.proto"))
        .expect("the file")
}

fn message<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut DescriptorProto {
    assignment(set)
        .message_type
        .iter_mut()
        .find(|message| message.name() == name)
        .expect("the message")
}
