// SPDX-License-Identifier: GPL-3.0-or-later

internal import CYAML

/// Reads the YAML of a job.
///
/// libyaml takes the text apart, YAML 1.1. One document, a map; anchors, aliases and tags are refused: no job needs
/// them, and they make small texts large. Everything is bounded.
public enum JobText {
    /// Longest job that is read, in bytes.
    public static let maximumLength = 256 << 10
    private static let maximumDepth = 8
    private static let maximumValues = 10_000

    /// Returns the names and values of the job `bytes`; `place` is what messages call it.
    ///
    /// - Throws: `FormatError` with the line.
    public static func parse(_ bytes: [UInt8], place: String) throws(FormatError) -> [JobValue.Entry] {
        guard bytes.count <= maximumLength else {
            throw .setting(place: place, reason: "it is longer than \(maximumLength) bytes", hint: nil)
        }
        let parser = try EventReader(bytes, place: place)
        defer { parser.close() }
        var state = Reading(parser: parser, place: place)
        guard try state.next(YAML_STREAM_START_EVENT) else { throw state.wrong("it does not begin", 1) }
        var event = try parser.next()
        if event.type == YAML_STREAM_END_EVENT { return [] }
        guard event.type == YAML_DOCUMENT_START_EVENT else { throw state.wrong("it is no document", event.line) }
        event = try parser.next()
        // Comments alone are a document of nothing.
        if event.type == YAML_SCALAR_EVENT, event.isPlain, event.text.isEmpty { return [] }
        guard event.type == YAML_MAPPING_START_EVENT else {
            throw state.wrong("a job is made of lines such as target: nfs://server/export", event.line)
        }
        let value = try state.value(event, depth: 0)
        guard try state.next(YAML_DOCUMENT_END_EVENT), try state.next(YAML_STREAM_END_EVENT) else {
            throw state.wrong("a job is one document", value.line)
        }
        guard case .map(let entries) = value.content else { return [] }
        return entries
    }

    /// Puts values together from events.
    private struct Reading {
        let parser: EventReader
        let place: String
        var count = 0

        func wrong(_ reason: String, _ line: Int) -> FormatError {
            .setting(place: "\(place) line \(line)", reason: reason, hint: nil)
        }

        mutating func next(_ type: yaml_event_type_t) throws(FormatError) -> Bool { try parser.next().type == type }

        mutating func value(_ event: EventReader.Event, depth: Int) throws(FormatError) -> JobValue {
            count += 1
            guard count <= maximumValues, depth < maximumDepth else {
                throw wrong("it has more values, or deeper ones, than any job needs", event.line)
            }
            guard !event.isReferring else { throw wrong("anchors, aliases and tags are not used here", event.line) }
            switch event.type {
            case YAML_SCALAR_EVENT: return JobValue(.text(event.text), line: event.line)
            case YAML_SEQUENCE_START_EVENT: return try list(event.line, depth)
            case YAML_MAPPING_START_EVENT: return try map(event.line, depth)
            default: throw wrong("a value is missing", event.line)
            }
        }

        private mutating func list(_ line: Int, _ depth: Int) throws(FormatError) -> JobValue {
            var values: [JobValue] = []
            while true {
                let event = try parser.next()
                if event.type == YAML_SEQUENCE_END_EVENT { return JobValue(.list(values), line: line) }
                values.append(try value(event, depth: depth + 1))
            }
        }

        private mutating func map(_ line: Int, _ depth: Int) throws(FormatError) -> JobValue {
            var entries: [JobValue.Entry] = []
            while true {
                let event = try parser.next()
                if event.type == YAML_MAPPING_END_EVENT { return JobValue(.map(entries), line: line) }
                guard case .text(let name) = try value(event, depth: depth + 1).content else {
                    throw wrong("a name is plain text", event.line)
                }
                guard !entries.contains(where: { $0.name == name }) else {
                    throw wrong("\(name.debugDescription) stands twice", event.line)
                }
                let inner = try value(try parser.next(), depth: depth + 1)
                entries.append(JobValue.Entry(name: name, value: inner))
            }
        }
    }
}

/// The events of a YAML text, one after the other.
///
/// yaml_parser_parse of libyaml.
private final class EventReader {
    /// What one event says.
    struct Event {
        var type: yaml_event_type_t
        var line: Int
        var text = ""
        /// Whether it is written without quotes.
        var isPlain = false
        /// Whether it is an alias, or has an anchor or a tag.
        var isReferring = false
    }

    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let input: UnsafeMutableBufferPointer<UInt8>
    private let place: String

    init(_ bytes: [UInt8], place: String) throws(FormatError) {
        self.place = place
        parser = .allocate(capacity: 1)
        input = .allocate(capacity: bytes.count)
        _ = input.initialize(from: bytes)
        guard yaml_parser_initialize(parser) == 1 else {
            parser.deallocate()
            input.deallocate()
            throw .setting(place: place, reason: "there is no memory to read it", hint: nil)
        }
        yaml_parser_set_input_string(parser, input.baseAddress, input.count)
    }

    /// Gives back what libyaml holds; once.
    func close() {
        yaml_parser_delete(parser)
        parser.deallocate()
        input.deallocate()
    }

    func next() throws(FormatError) -> Event {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else {
            let line = Int(clamping: parser.pointee.problem_mark.line) + 1
            let problem = parser.pointee.problem.map { String(cString: $0) } ?? "it is no YAML"
            throw .setting(place: "\(place) line \(line)", reason: problem, hint: "indent with spaces, quote odd texts")
        }
        defer { yaml_event_delete(&event) }
        var result = Event(type: event.type, line: Int(clamping: event.start_mark.line) + 1)
        switch event.type {
        case YAML_ALIAS_EVENT: result.isReferring = true
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            result.text = String(
                decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            result.isPlain = scalar.style == YAML_PLAIN_SCALAR_STYLE
            result.isReferring = scalar.anchor != nil || scalar.tag != nil
        case YAML_SEQUENCE_START_EVENT:
            let start = event.data.sequence_start
            result.isReferring = start.anchor != nil || start.tag != nil
        case YAML_MAPPING_START_EVENT:
            let start = event.data.mapping_start
            result.isReferring = start.anchor != nil || start.tag != nil
        default: break
        }
        return result
    }
}
