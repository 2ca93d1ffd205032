package main

import (
	"encoding/hex"
	"testing"
)

// The bytes are recorded from the libraries themselves; see tests/data/wire.json.
func TestMessagesAreThoseOfTheLibraries(t *testing.T) {
	const expire = 1735689600123456789
	for recorded, message := range map[string][]byte{
		"0a03363330" + "1800":                                                     encodeResponse("630", 0),
		"0a03363330" + "18959acbbdec8f9a8b18":                                     encodeResponse("630", expire),
		"0a03363330" + "18ffffffffffffffffff01":                                   encodeResponse("630", -1),
		"0a0673636f726573" + "1203546f6d" + "1a03363330" + "2000":                 encodeSet("scores", "Tom", "630", 0),
		"0a0673636f726573" + "1200" + "1a00" + "2000":                             encodeSet("scores", "", "", 0),
		"0a0673636f726573" + "1203546f6d" + "1a03363330" + "20959acbbdec8f9a8b18": encodeSet("scores", "Tom", "630", expire),
	} {
		if got := hex.EncodeToString(message); got != recorded {
			t.Errorf("got %s, recorded is %s", got, recorded)
		}
	}
}

func TestDecodingSkipsUnknownFieldsAndRefusesDamage(t *testing.T) {
	// As larder sends it: value and expire, its own fields 16 and 17 behind them.
	const message = "0a0336333018018001ac0289010807060504030201"
	bytes, _ := hex.DecodeString(message)
	decoded, err := decodeResponse(bytes)
	if err != nil || decoded.Value != "630" || decoded.Expire == nil || *decoded.Expire != 1 {
		t.Errorf("decoded %v, %v", decoded, err)
	}
	for _, cut := range []int{1, 2, 4, 6, 8, 15, len(bytes) - 1} {
		if _, err := decodeResponse(bytes[:cut]); err == nil {
			t.Errorf("a message cut at %d is taken", cut)
		}
	}
}
