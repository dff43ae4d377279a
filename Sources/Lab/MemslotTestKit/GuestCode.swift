extension GuestProgram {
    /// 16-bit code, position independent.
    ///
    /// On entry: DS at the region, ES at the counters, edx the offset of the vCPU's words, ecx
    /// the bytes of the region.
    var realModeCode: [UInt8] {
        [
            // round:
            0x66, 0x89, 0xd3,  //                               mov ebx, edx
            // page:
            0x67, 0xff, 0x03,  //                               inc word [ebx]
            0x66, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00,  //       add ebx, 4096
            0x66, 0x39, 0xcb,  //                               cmp ebx, ecx
            0x72, 0xf1,  //                                     jb page
            0x26, 0x66, 0xff, 0x06, 0x00, 0x00,  //             inc dword es:[0]
            0x26, 0x66, 0xa1, 0x00, 0x00,  //                   mov eax, es:[0]
            0x26, 0x66, 0x3b, 0x06, 0x04, 0x00,  //             cmp eax, es:[4]
            0x75, 0xdb,  //                                     jne round
            0xe6, UInt8(Self.port),  //                         out port, al
            0xeb, 0xd7,  //                                     jmp round
        ]
    }

    /// 64-bit code, position independent.
    ///
    /// On entry: rdi the vCPU's number in the first page, ecx the number of pages, rsi the
    /// counters, r8 the doorbell. It doesn't use a port: not every host lets level 3 have one.
    var longModeCode: [UInt8] {
        [
            // round:
            0x48, 0x89, 0xfb,  //                               mov rbx, rdi
            0x89, 0xca,  //                                     mov edx, ecx
            // page:
            0xff, 0x03,  //                                     inc dword [rbx]
            0x48, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00,  //       add rbx, 4096
            0xff, 0xca,  //                                     dec edx
            0x75, 0xf3,  //                                     jne page
            0xff, 0x06,  //                                     inc dword [rsi]
            0x8b, 0x06,  //                                     mov eax, [rsi]
            0x3b, 0x46, 0x04,  //                               cmp eax, [rsi + 4]
            0x75, 0xe5,  //                                     jne round
            0x41, 0x89, 0x00,  //                               mov [r8], eax
            0xeb, 0xe0,  //                                     jmp round
        ]
    }
}

/// What a guest does with the numbers in its region.
package enum GuestAccess: String, Hashable, Sendable, CaseIterable {
    /// Increments them.
    case increments
    /// Adds them to a sum outside of the region, and writes nothing in it: for memory that is
    /// read-only at times.
    case reads
}

extension GuestProgram {
    /// As ``realModeCode``, of a guest that reads.
    var readingRealModeCode: [UInt8] {
        [
            // round:
            0x66, 0x89, 0xd3,  //                               mov ebx, edx
            // page:
            0x67, 0x66, 0x8b, 0x03,  //                         mov eax, [ebx]
            0x26, 0x66, 0x01, 0x06, 0x08, 0x00,  //             add es:[8], eax
            0x66, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00,  //       add ebx, 4096
            0x66, 0x39, 0xcb,  //                               cmp ebx, ecx
            0x72, 0xea,  //                                     jb page
            0x26, 0x66, 0xff, 0x06, 0x00, 0x00,  //             inc dword es:[0]
            0x26, 0x66, 0xa1, 0x00, 0x00,  //                   mov eax, es:[0]
            0x26, 0x66, 0x3b, 0x06, 0x04, 0x00,  //             cmp eax, es:[4]
            0x75, 0xd4,  //                                     jne round
            0xe6, UInt8(Self.port),  //                         out port, al
            0xeb, 0xd0,  //                                     jmp round
        ]
    }

    /// As ``longModeCode``, of a guest that reads.
    var readingLongModeCode: [UInt8] {
        [
            // round:
            0x48, 0x89, 0xfb,  //                               mov rbx, rdi
            0x89, 0xca,  //                                     mov edx, ecx
            // page:
            0x8b, 0x03,  //                                     mov eax, [rbx]
            0x01, 0x46, 0x08,  //                               add [rsi + 8], eax
            0x48, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00,  //       add rbx, 4096
            0xff, 0xca,  //                                     dec edx
            0x75, 0xf0,  //                                     jne page
            0xff, 0x06,  //                                     inc dword [rsi]
            0x8b, 0x06,  //                                     mov eax, [rsi]
            0x3b, 0x46, 0x04,  //                               cmp eax, [rsi + 4]
            0x75, 0xe2,  //                                     jne round
            0x41, 0x89, 0x00,  //                               mov [r8], eax
            0xeb, 0xdd,  //                                     jmp round
        ]
    }
}
