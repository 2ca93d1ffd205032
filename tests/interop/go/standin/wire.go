package main

import (
	"encoding/binary"
	"errors"
)

// The messages of mailgun/groupcache v2 and groupcache-go v3, encoded by hand.

// Tags: the field's number, and 0 for a varint or 2 for bytes.
const (
	responseValue  = 1<<3 | 2
	responseExpire = 3 << 3
	setGroup       = 1<<3 | 2
	setKey         = 2<<3 | 2
	setValue       = 3<<3 | 2
	setExpire      = 4 << 3
)

func appendBytes(message []byte, tag byte, field string) []byte {
	message = appendVarint(append(message, tag), uint64(len(field)))
	return append(message, field...)
}

func appendVarint(message []byte, n uint64) []byte {
	var buf [binary.MaxVarintLen64]byte
	return append(message, buf[:binary.PutUvarint(buf[:], n)]...)
}

// encodeResponse has the field expire always, as both libraries do.
func encodeResponse(value string, expire int64) []byte {
	message := appendBytes(nil, responseValue, value)
	return appendVarint(append(message, responseExpire), uint64(expire))
}

// encodeSet has every field always: the first two are required.
func encodeSet(group, key, value string, expire int64) []byte {
	message := appendBytes(nil, setGroup, group)
	message = appendBytes(message, setKey, key)
	message = appendBytes(message, setValue, value)
	return appendVarint(append(message, setExpire), uint64(expire))
}

var errWire = errors.New("not a GetResponse")

// A response is a decoded GetResponse.
type response struct {
	Value  string
	Expire *int64
}

// decodeResponse skips fields that it does not know, as the libraries do.
func decodeResponse(message []byte) (*response, error) {
	var decoded response
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return nil, errWire
		}
		message = message[n:]
		length, err := fieldLength(tag, message)
		if err != nil {
			return nil, err
		}
		switch tag {
		case responseValue:
			_, n := binary.Uvarint(message)
			decoded.Value = string(message[n:length])
		case responseExpire:
			expire, _ := binary.Uvarint(message)
			signed := int64(expire)
			decoded.Expire = &signed
		}
		message = message[length:]
	}
	return &decoded, nil
}

// fieldLength is how many bytes the field behind tag takes.
func fieldLength(tag uint64, message []byte) (int, error) {
	var length int
	switch tag & 7 {
	case 0:
		_, length = binary.Uvarint(message)
	case 1:
		length = 8
	case 2:
		size, n := binary.Uvarint(message)
		if n <= 0 || size > uint64(len(message)-n) {
			return 0, errWire
		}
		length = n + int(size)
	case 5:
		length = 4
	}
	if length <= 0 || length > len(message) {
		return 0, errWire
	}
	return length, nil
}
