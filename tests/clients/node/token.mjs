// Gets one token with openid-client and prints it with the URL it was asked from.
// usage: node token.mjs ISSUER CLIENT_ID CERT KEY CA aliases|no-aliases [RESOURCE]
import { readFileSync } from 'node:fs';
import * as client from 'openid-client';
import { Agent, fetch } from 'undici';

const [issuer, clientId, cert, key, ca, aliases, resource] = process.argv.slice(2);
const dispatcher = new Agent({
  connect: { cert: readFileSync(cert), key: readFileSync(key), ca: readFileSync(ca) },
});
const asked = [];
const customFetch = (url, options) => {
  if (options.method === 'POST') asked.push(String(url));
  return fetch(url, { ...options, dispatcher });
};

const config = await client.discovery(
  new URL(issuer),
  clientId,
  { use_mtls_endpoint_aliases: aliases === 'aliases' },
  client.TlsClientAuth(),
  { algorithm: 'oauth2', [client.customFetch]: customFetch },
);
config[client.customFetch] = customFetch;
try {
  const tokens = await client.clientCredentialsGrant(config, resource ? { resource } : {});
  console.log(JSON.stringify({ asked, tokens }));
} catch (error) {
  console.log(JSON.stringify({ asked, error: error.error, status: error.status, message: error.message }));
} finally {
  await dispatcher.close();
}
