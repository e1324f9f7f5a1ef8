// Gets one token with Go's standard library and prints the server's answer.
// usage: go run token.go ISSUER CLIENT_ID CERT KEY CA
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
)

type metadata struct {
	Issuer        string `json:"issuer"`
	TokenEndpoint string `json:"token_endpoint"`
	Aliases       struct {
		TokenEndpoint string `json:"token_endpoint"`
	} `json:"mtls_endpoint_aliases"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 6 {
		log.Fatal("usage: token ISSUER CLIENT_ID CERT KEY CA")
	}
	issuer, clientID := os.Args[1], os.Args[2]
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: settings(os.Args[3], os.Args[4], os.Args[5]),
	}}
	response, err := client.PostForm(tokenURL(client, issuer), url.Values{
		"grant_type": {"client_credentials"},
		"client_id":  {clientID},
	})
	check(err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	check(err)
	fmt.Printf("%d\n%s\n", response.StatusCode, answer)
}

// The certificate is read again for each connection, so a renewed one needs no restart.
func settings(cert, key, ca string) *tls.Config {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(ca)
	check(err)
	if !roots.AppendCertsFromPEM(pem) {
		log.Fatalf("%s holds no certificate", ca)
	}
	return &tls.Config{
		RootCAs: roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			return &pair, err
		},
	}
}

// The alias where the server has one (RFC 8705 section 5).
func tokenURL(client *http.Client, issuer string) string {
	response, err := client.Get(issuer + "/.well-known/oauth-authorization-server")
	check(err)
	defer response.Body.Close()
	var found metadata
	check(json.NewDecoder(response.Body).Decode(&found))
	if found.Issuer != issuer {
		log.Fatalf("the metadata is of %s, not of %s", found.Issuer, issuer)
	}
	if found.Aliases.TokenEndpoint != "" {
		return found.Aliases.TokenEndpoint
	}
	return found.TokenEndpoint
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
