package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"

	"farthing/internal/private"
	"farthing/publish"
)

// secretBytesMax bounds files of passwords, keys and certificates: anything larger is the wrong file.
const secretBytesMax = 1 << 20

// kafkaFlags say how brokers are reached.
type kafkaFlags struct {
	KafkaTLS          bool   `name:"kafka-tls" help:"Speak TLS to the brokers and check their certificates by the system's authorities, or by --kafka-ca." group:"Kafka"`
	KafkaCA           string `name:"kafka-ca" help:"File with the certificates (PEM) of the authorities that brokers' certificates must come from. Implies --kafka-tls." placeholder:"FILE" group:"Kafka"`
	KafkaCert         string `name:"kafka-cert" help:"File with our certificate (PEM) for brokers that want one. Implies --kafka-tls." placeholder:"FILE" group:"Kafka"`
	KafkaCertKey      string `name:"kafka-cert-key" help:"File with the private key (PEM) of --kafka-cert. Nobody but its owner may be able to read it." placeholder:"FILE" group:"Kafka"`
	KafkaSASL         string `name:"kafka-sasl" help:"Identify to the brokers by this mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512." placeholder:"MECHANISM" group:"Kafka"`
	KafkaUser         string `help:"User for --kafka-sasl." placeholder:"NAME" group:"Kafka"`
	KafkaPasswordFile string `help:"File with the password for --kafka-sasl. Nobody but its owner may be able to read it." placeholder:"FILE" group:"Kafka"`

	// What load made of them; nil and zero: plain text, nobody in particular.
	tls  *tls.Config
	sasl publish.SASL
}

// load reads the files.
func (f *kafkaFlags) load() (err error) {
	if f.tls, err = f.loadTLS(); err != nil {
		return err
	}
	f.sasl, err = f.loadSASL()
	return err
}

// loadTLS returns nil for plain text.
func (f *kafkaFlags) loadTLS() (*tls.Config, error) {
	if !f.KafkaTLS && f.KafkaCA == "" && f.KafkaCert == "" && f.KafkaCertKey == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.KafkaCA != "" {
		cas, err := readCAs(f.KafkaCA)
		if err != nil {
			return nil, fmt.Errorf("--kafka-ca: %w", err)
		}
		config.RootCAs = cas
	}
	if (f.KafkaCert == "") != (f.KafkaCertKey == "") {
		return nil, errors.New("--kafka-cert and --kafka-cert-key want each other")
	}
	if f.KafkaCert == "" {
		return config, nil
	}
	cert, err := private.ReadPublic(f.KafkaCert, secretBytesMax)
	if err != nil {
		return nil, fmt.Errorf("--kafka-cert: %w", err)
	}
	key, err := private.Read(f.KafkaCertKey, secretBytesMax)
	if err != nil {
		return nil, fmt.Errorf("--kafka-cert-key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--kafka-cert: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

func (f *kafkaFlags) loadSASL() (publish.SASL, error) {
	if f.KafkaSASL == "" && f.KafkaUser == "" && f.KafkaPasswordFile == "" {
		return publish.SASL{}, nil
	}
	if f.KafkaSASL == "" || f.KafkaUser == "" || f.KafkaPasswordFile == "" {
		return publish.SASL{}, errors.New("--kafka-sasl, --kafka-user and --kafka-password-file want each other")
	}
	password, err := private.Read(f.KafkaPasswordFile, secretBytesMax)
	if err != nil {
		return publish.SASL{}, fmt.Errorf("--kafka-password-file: %w", err)
	}
	password = bytes.TrimRight(password, "\r\n")
	if len(password) == 0 {
		return publish.SASL{}, fmt.Errorf("--kafka-password-file: %s is empty", f.KafkaPasswordFile)
	}
	return publish.SASL{Mechanism: publish.Mechanism(f.KafkaSASL), User: f.KafkaUser, Password: string(password)}, nil
}

// sendsPassword says that the password goes over the network as it is.
func (f *kafkaFlags) sendsPassword() bool { return f.sasl.Mechanism == publish.Plain && f.tls == nil }
