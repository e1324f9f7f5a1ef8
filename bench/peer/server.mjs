// node-oidc-provider as an authorization server that ends mutual TLS itself (RFC 8705): the same
// certificates, clients and kind of token as certbound has beside it. In memory, as it comes.
//   node server.mjs SETTINGS   a JSON file: port, certs (folder), keys, clients
import { readFileSync } from 'node:fs';
import * as https from 'node:https';
import * as path from 'node:path';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2]));
const pem = (name) => readFileSync(path.join(settings.certs, name));
const resource = 'https://localhost:9444';
const opaque = 'urn:bench:opaque';

// Node has one attribute per line, in the certificate's order; RFC 4514 goes the other way.
const rfc4514 = (subject) => subject.split('\n').reverse().join(',');

const provider = new Provider(`https://localhost:${settings.port}`, {
  jwks: { keys: settings.keys },
  scopes: ['api:read'],
  clientAuthMethods: ['tls_client_auth', 'self_signed_tls_client_auth'],
  clients: settings.clients.map((client) => ({
    ...client,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: 'api:read',
    tls_client_certificate_bound_access_tokens: true,
  })),
  ttl: { ClientCredentials: 300 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      getCertificate: (context) => context.socket.getPeerX509Certificate(),
      certificateAuthorized: (context) => context.socket.authorized,
      certificateSubjectMatches: (context, property, expected) =>
        property === 'tls_client_auth_subject_dn' &&
        rfc4514(context.socket.getPeerX509Certificate().subject) === expected,
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      getResourceServerInfo: (_context, asked) => ({
        scope: 'api:read',
        audience: asked,
        accessTokenFormat: asked === opaque ? 'opaque' : 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});

https
  .createServer(
    {
      key: pem('server.key'),
      cert: pem('server.crt'),
      ca: pem('ca.crt'),
      requestCert: true,
      rejectUnauthorized: false, // self-signed clients get as far as the provider, as with certbound
    },
    provider.callback(),
  )
  .listen(settings.port, '127.0.0.1');
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
