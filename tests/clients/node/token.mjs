// Gets one token with openid-client and prints it with the URL it was asked from.
// usage: node token.mjs ISSUER CLIENT_ID CERT KEY CA aliases|no-aliases [RESOURCE]
import * as client from 'openid-client';
import { connect } from './connect.mjs';

const resource = process.argv[8];
const { config, asked, close } = await connect(...process.argv.slice(2, 8));
try {
  const tokens = await client.clientCredentialsGrant(config, resource ? { resource } : {});
  console.log(JSON.stringify({ asked, tokens }));
} catch (error) {
  console.log(JSON.stringify({ asked, error: error.error, status: error.status, message: error.message }));
} finally {
  await close();
}
