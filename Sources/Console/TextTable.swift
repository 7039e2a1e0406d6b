// SPDX-License-Identifier: GPL-3.0-or-later

/// A table in plain text, columns two spaces apart.
///
///     DISK   LENGTH  RESULT
///     sda   1.5 GiB  verified
public struct TextTable: Sendable {
    /// A column's title and the side that its cells stand at.
    public struct Column: Sendable {
        /// The side that cells stand at.
        public enum Alignment: Sendable {
            case left, right
        }

        /// The title, printed in upper case.
        public var title: String
        /// The side that cells stand at.
        public var alignment: Alignment

        /// Makes a column whose cells stand at the left: words.
        public static func left(_ title: String) -> Column { Column(title: title, alignment: .left) }
        /// Makes a column whose cells stand at the right: numbers.
        public static func right(_ title: String) -> Column { Column(title: title, alignment: .right) }
    }

    /// The columns, from the left.
    public var columns: [Column]
    /// The rows' cells; a row may be shorter than there are columns.
    public var rows: [[String]]

    /// Makes a table.
    public init(columns: [Column], rows: [[String]] = []) {
        self.columns = columns
        self.rows = rows
    }

    /// Returns the lines, each ended by a line feed; control characters of cells are made visible.
    public func render() -> String {
        let titles = columns.map { $0.title.uppercased() }
        let lines = [titles] + rows.map { $0.prefix(columns.count).map(Terminal.visible) }
        var widths = [Int](repeating: 0, count: columns.count)
        for line in lines {
            for (index, cell) in line.enumerated() { widths[index] = max(widths[index], cell.count) }
        }
        var text = ""
        for line in lines {
            var rendered = ""
            for (index, cell) in line.enumerated() {
                let space = String(repeating: " ", count: widths[index] - cell.count)
                if index > 0 { rendered += "  " }
                rendered += columns[index].alignment == .left ? cell + space : space + cell
            }
            while rendered.last == " " { rendered.removeLast() }
            text += rendered + "\n"
        }
        return text
    }
}
