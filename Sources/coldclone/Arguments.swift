// SPDX-License-Identifier: GPL-3.0-or-later

public import ArgumentParser
public import Console
public import DiskImage

extension ImageFormat: ExpressibleByArgument {}
extension ImageCompression: ExpressibleByArgument {}
extension LogLevel: ExpressibleByArgument {}
