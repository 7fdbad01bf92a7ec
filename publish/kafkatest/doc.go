// Package kafkatest gives tests a real Kafka broker on loopback, through the project's kafka/kafka.sh.
//
// The first Start in a test binary starts one broker, with a state directory of its own in the
// temporary directory; later calls share it, so tests choose topics and ledgers of their own. A broker that
// runs already is used, and left alone, when FARTHING_TEST_KAFKA names its host:port.
//
// What was started ends with the test binary, however that ends: a guardian process waits for the end of a pipe that
// only the test binary holds, then stops the broker and removes its directory. It is the only state of this package.
//
// StartOwn gives a test a broker that it may kill and freeze, StartCluster three of them. Proxy stands between clients
// and a broker and is asked about each produce request and each answer, so that a fault can be had exactly there.
//
// Where Java or Maven are missing, tests are skipped with one line; with CI=true they fail.
package kafkatest
