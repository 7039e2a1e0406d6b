// SPDX-License-Identifier: GPL-3.0-or-later

public import ArgumentParser
public import Console
public import Receiver

extension FileDigestPolicy: ExpressibleByArgument {}
extension LogLevel: ExpressibleByArgument {}
