// SPDX-License-Identifier: GPL-3.0-or-later

extension ExtReader {
    /// Returns what the block bitmaps call free; when checked, no block that an inode leads to is among it.
    ///
    /// Read without libext2fs, which keeps the bitmaps of all groups in memory.
    func spaceUse(_ options: SpaceOptions) throws(FileSystemError) -> SpaceUse {
        let layout = try ExtSpaceLayout(try ExtSuperblock(bytes), bytes)
        // The superblock is not all there is to the state.
        guard state == .clean else { throw layout.damaged("it is not clean") }
        let groups = try ExtSpaceGroups(layout, bytes, options)
        let free = try groups.freeRuns(bytes, options)
        guard options.isChecked else { return SpaceUse(free: free) }
        var walk = ExtSpaceWalk(groups, free, bytes, options)
        try walk.run()
        return SpaceUse(free: free, checkedExtents: walk.checked)
    }
}
