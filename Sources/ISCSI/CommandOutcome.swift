// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CISCSI

extension Connection {
    /// How a command ended.
    enum Outcome {
        /// Carried out; the answer, unless it went to the caller's memory.
        case good([UInt8])
        /// Refused with a reason.
        case sense(SCSISense)
        /// The unit has too much to do now.
        case busy
        /// Another initiator reserved the unit.
        case reserved
        /// The target said less, or more, than was asked for.
        case wrongLength
        /// The connection broke, or the library made nothing of the answer; the text says what it says.
        case broken(String)

        /// Reads what `task` ended with; what is no answer of the unit's is `broken`, with the library's `failure`.
        init(of task: scsi_task, _ status: Int32, else failure: @autoclosure () -> String) {
            let length = task.datain.data == nil ? 0 : max(Int(task.datain.size), 0)
            let answer = UnsafeRawBufferPointer(start: task.datain.data, count: length)
            switch UInt32(bitPattern: status) {
            case SCSI_STATUS_GOOD.rawValue, SCSI_STATUS_CONDITION_MET.rawValue:
                if task.iovector_in.niov > 0 {
                    self = task.residual_status == SCSI_RESIDUAL_NO_RESIDUAL ? .good([]) : .wrongLength
                } else {
                    self = .good(Array(answer.prefix(SCSICommand.longestAnswer)))
                }
            case SCSI_STATUS_CHECK_CONDITION.rawValue:
                // Two bytes of length stand before the sense data. RFC 7143, 11.4.7.2.
                if answer.count > 2, let sense = SCSISense(answer.part(2, answer.count - 2)) {
                    self = .sense(sense)
                } else {
                    self = .broken("the unit failed a command and did not say why")
                }
            case SCSI_STATUS_BUSY.rawValue, SCSI_STATUS_TASK_SET_FULL.rawValue: self = .busy
            case SCSI_STATUS_RESERVATION_CONFLICT.rawValue: self = .reserved
            default: self = .broken(failure())
            }
        }
    }
}
