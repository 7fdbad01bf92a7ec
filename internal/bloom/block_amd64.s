#include "textflag.h"

// By how much the words 0 to 7 shift what they are given.
DATA shifts<>+0x00(SB)/8, $0
DATA shifts<>+0x08(SB)/8, $6
DATA shifts<>+0x10(SB)/8, $12
DATA shifts<>+0x18(SB)/8, $18
DATA shifts<>+0x20(SB)/8, $24
DATA shifts<>+0x28(SB)/8, $30
DATA shifts<>+0x30(SB)/8, $36
DATA shifts<>+0x38(SB)/8, $42
GLOBL shifts<>(SB), RODATA|NOPTR, $64

DATA bits<>+0x00(SB)/8, $63
DATA bits<>+0x08(SB)/8, $1
GLOBL bits<>(SB), RODATA|NOPTR, $16

// func set(b *Block, spread uint64)
//
// Y0: spread; Y1, Y2: which bit of words 0 to 3, 4 to 7, then that bit.
TEXT ·set(SB), NOSPLIT, $0-16
	MOVQ         b+0(FP), AX
	VPBROADCASTQ spread+8(FP), Y0
	VPBROADCASTQ bits<>+0(SB), Y3
	VPBROADCASTQ bits<>+8(SB), Y4
	VPSRLVQ      shifts<>+0x00(SB), Y0, Y1
	VPSRLVQ      shifts<>+0x20(SB), Y0, Y2
	VPAND        Y3, Y1, Y1
	VPAND        Y3, Y2, Y2
	VPSLLVQ      Y1, Y4, Y1
	VPSLLVQ      Y2, Y4, Y2
	VPOR         0(AX), Y1, Y1
	VPOR         32(AX), Y2, Y2
	VMOVDQU      Y1, 0(AX)
	VMOVDQU      Y2, 32(AX)
	VZEROUPPER
	RET
