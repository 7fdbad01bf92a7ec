#include "textflag.h"

// SHA-256 of two messages of equally many blocks, on the SHA extensions, the rounds of the
// two in turn. The schedule of four rounds is that of Intel's description of the
// extensions (Gulley et al., "Intel SHA Extensions", July 2013).
//
// Registers: A has its state in X1 (ABEF) and X2 (CDGH) and its words in X3..X6; B in X7,
// X8 and X9..X12. X13 and X14 hold words plus constants, X15 is scratch, X0 is what
// SHA256RNDS2 takes implicitly. AX, BX: the messages; CX: the constants; DX: blocks left.

DATA k<>+0x000(SB)/8, $0x71374491428a2f98
DATA k<>+0x008(SB)/8, $0xe9b5dba5b5c0fbcf
DATA k<>+0x010(SB)/8, $0x59f111f13956c25b
DATA k<>+0x018(SB)/8, $0xab1c5ed5923f82a4
DATA k<>+0x020(SB)/8, $0x12835b01d807aa98
DATA k<>+0x028(SB)/8, $0x550c7dc3243185be
DATA k<>+0x030(SB)/8, $0x80deb1fe72be5d74
DATA k<>+0x038(SB)/8, $0xc19bf1749bdc06a7
DATA k<>+0x040(SB)/8, $0xefbe4786e49b69c1
DATA k<>+0x048(SB)/8, $0x240ca1cc0fc19dc6
DATA k<>+0x050(SB)/8, $0x4a7484aa2de92c6f
DATA k<>+0x058(SB)/8, $0x76f988da5cb0a9dc
DATA k<>+0x060(SB)/8, $0xa831c66d983e5152
DATA k<>+0x068(SB)/8, $0xbf597fc7b00327c8
DATA k<>+0x070(SB)/8, $0xd5a79147c6e00bf3
DATA k<>+0x078(SB)/8, $0x1429296706ca6351
DATA k<>+0x080(SB)/8, $0x2e1b213827b70a85
DATA k<>+0x088(SB)/8, $0x53380d134d2c6dfc
DATA k<>+0x090(SB)/8, $0x766a0abb650a7354
DATA k<>+0x098(SB)/8, $0x92722c8581c2c92e
DATA k<>+0x0a0(SB)/8, $0xa81a664ba2bfe8a1
DATA k<>+0x0a8(SB)/8, $0xc76c51a3c24b8b70
DATA k<>+0x0b0(SB)/8, $0xd6990624d192e819
DATA k<>+0x0b8(SB)/8, $0x106aa070f40e3585
DATA k<>+0x0c0(SB)/8, $0x1e376c0819a4c116
DATA k<>+0x0c8(SB)/8, $0x34b0bcb52748774c
DATA k<>+0x0d0(SB)/8, $0x4ed8aa4a391c0cb3
DATA k<>+0x0d8(SB)/8, $0x682e6ff35b9cca4f
DATA k<>+0x0e0(SB)/8, $0x78a5636f748f82ee
DATA k<>+0x0e8(SB)/8, $0x8cc7020884c87814
DATA k<>+0x0f0(SB)/8, $0xa4506ceb90befffa
DATA k<>+0x0f8(SB)/8, $0xc67178f2bef9a3f7
GLOBL k<>(SB), RODATA|NOPTR, $256

// Bytes of a word in reverse order.
DATA flip<>+0x00(SB)/8, $0x0405060700010203
DATA flip<>+0x08(SB)/8, $0x0c0d0e0f08090a0b
GLOBL flip<>(SB), RODATA|NOPTR, $16

// The initial state as the instructions want it: F E B A, H G D C from low to high.
DATA start<>+0x00(SB)/8, $0x510e527f9b05688c
DATA start<>+0x08(SB)/8, $0x6a09e667bb67ae85
DATA start<>+0x10(SB)/8, $0x1f83d9ab5be0cd19
DATA start<>+0x18(SB)/8, $0x3c6ef372a54ff53a
GLOBL start<>(SB), RODATA|NOPTR, $32

// RNDS does four rounds of both with the sums of words and constants in X13 and X14.
#define RNDS \
	MOVO X13, X0; \
	SHA256RNDS2 X0, X1, X2; \
	MOVO X14, X0; \
	SHA256RNDS2 X0, X7, X8; \
	PSHUFD $0x0e, X13, X0; \
	SHA256RNDS2 X0, X2, X1; \
	PSHUFD $0x0e, X14, X0; \
	SHA256RNDS2 X0, X8, X7

// LOAD reads four words of both messages and adds the constants.
#define LOAD(off, koff, a, b) \
	MOVOU off(AX), a; \
	PSHUFB flip<>(SB), a; \
	MOVOU off(BX), b; \
	PSHUFB flip<>(SB), b; \
	ADDK(koff, a, b)

#define ADDK(koff, a, b) \
	MOVO a, X13; \
	PADDD koff(CX), X13; \
	MOVO b, X14; \
	PADDD koff(CX), X14

// NEXT makes the four words that follow: next += (cur:prev) >> 32 bits, then MSG2.
#define NEXT(cur, prev, next) \
	MOVO cur, X15; \
	PALIGNR $4, prev, X15; \
	PADDD X15, next; \
	SHA256MSG2 cur, next

// func sum(a, b *byte, blocks int, x, y *[32]byte)
TEXT ·sum(SB), NOSPLIT, $64-40
	MOVQ a+0(FP), AX
	MOVQ b+8(FP), BX
	LEAQ k<>(SB), CX
	MOVQ blocks+16(FP), DX
	MOVOU start<>+0x00(SB), X1
	MOVOU start<>+0x10(SB), X2
	MOVO X1, X7
	MOVO X2, X8

block:
	MOVOU X1, 0(SP)
	MOVOU X2, 16(SP)
	MOVOU X7, 32(SP)
	MOVOU X8, 48(SP)

	// rounds 0 to 3
	LOAD(0, 0, X3, X9)
	RNDS
	// rounds 4 to 7
	LOAD(16, 16, X4, X10)
	RNDS
	SHA256MSG1 X4, X3
	SHA256MSG1 X10, X9
	// rounds 8 to 11
	LOAD(32, 32, X5, X11)
	RNDS
	SHA256MSG1 X5, X4
	SHA256MSG1 X11, X10
	// rounds 12 to 15
	LOAD(48, 48, X6, X12)
	RNDS
	NEXT(X6, X5, X3)
	NEXT(X12, X11, X9)
	SHA256MSG1 X6, X5
	SHA256MSG1 X12, X11
	// rounds 16 to 19
	ADDK(64, X3, X9)
	RNDS
	NEXT(X3, X6, X4)
	NEXT(X9, X12, X10)
	SHA256MSG1 X3, X6
	SHA256MSG1 X9, X12
	// rounds 20 to 23
	ADDK(80, X4, X10)
	RNDS
	NEXT(X4, X3, X5)
	NEXT(X10, X9, X11)
	SHA256MSG1 X4, X3
	SHA256MSG1 X10, X9
	// rounds 24 to 27
	ADDK(96, X5, X11)
	RNDS
	NEXT(X5, X4, X6)
	NEXT(X11, X10, X12)
	SHA256MSG1 X5, X4
	SHA256MSG1 X11, X10
	// rounds 28 to 31
	ADDK(112, X6, X12)
	RNDS
	NEXT(X6, X5, X3)
	NEXT(X12, X11, X9)
	SHA256MSG1 X6, X5
	SHA256MSG1 X12, X11
	// rounds 32 to 35
	ADDK(128, X3, X9)
	RNDS
	NEXT(X3, X6, X4)
	NEXT(X9, X12, X10)
	SHA256MSG1 X3, X6
	SHA256MSG1 X9, X12
	// rounds 36 to 39
	ADDK(144, X4, X10)
	RNDS
	NEXT(X4, X3, X5)
	NEXT(X10, X9, X11)
	SHA256MSG1 X4, X3
	SHA256MSG1 X10, X9
	// rounds 40 to 43
	ADDK(160, X5, X11)
	RNDS
	NEXT(X5, X4, X6)
	NEXT(X11, X10, X12)
	SHA256MSG1 X5, X4
	SHA256MSG1 X11, X10
	// rounds 44 to 47
	ADDK(176, X6, X12)
	RNDS
	NEXT(X6, X5, X3)
	NEXT(X12, X11, X9)
	SHA256MSG1 X6, X5
	SHA256MSG1 X12, X11
	// rounds 48 to 51
	ADDK(192, X3, X9)
	RNDS
	NEXT(X3, X6, X4)
	NEXT(X9, X12, X10)
	SHA256MSG1 X3, X6
	SHA256MSG1 X9, X12
	// rounds 52 to 55
	ADDK(208, X4, X10)
	RNDS
	NEXT(X4, X3, X5)
	NEXT(X10, X9, X11)
	// rounds 56 to 59
	ADDK(224, X5, X11)
	RNDS
	NEXT(X5, X4, X6)
	NEXT(X11, X10, X12)
	// rounds 60 to 63
	ADDK(240, X6, X12)
	RNDS

	MOVOU 0(SP), X15
	PADDD X15, X1
	MOVOU 16(SP), X15
	PADDD X15, X2
	MOVOU 32(SP), X15
	PADDD X15, X7
	MOVOU 48(SP), X15
	PADDD X15, X8
	ADDQ $64, AX
	ADDQ $64, BX
	DECQ DX
	JNZ block

	// Back to A B C D, E F G H, and to big-endian bytes.
	MOVQ x+24(FP), AX
	MOVQ y+32(FP), BX
	PSHUFD $0x1b, X1, X13
	PSHUFD $0xb1, X2, X2
	MOVO X13, X14
	PBLENDW $0xf0, X2, X14
	PALIGNR $8, X13, X2
	PSHUFB flip<>(SB), X14
	PSHUFB flip<>(SB), X2
	MOVOU X14, 0(AX)
	MOVOU X2, 16(AX)
	PSHUFD $0x1b, X7, X13
	PSHUFD $0xb1, X8, X8
	MOVO X13, X14
	PBLENDW $0xf0, X8, X14
	PALIGNR $8, X13, X8
	PSHUFB flip<>(SB), X14
	PSHUFB flip<>(SB), X8
	MOVOU X14, 0(BX)
	MOVOU X8, 16(BX)
	RET
